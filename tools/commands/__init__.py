"""The commands of `python -m tools`: options, refusals, and what is said when it is done.

One module a command. The work itself is done elsewhere in `tools`, and imported by the command when
it is run: --help must not wait for torch or NumPy.
"""
