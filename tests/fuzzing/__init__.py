"""Damaged and hostile files by the thousand, for everything here that reads files of strangers.

    python -m tests.fuzzing --seconds 600 [READER …]

Good files of each kind are damaged as their format invites (`mutation`, `layers`) and read in a
process of its own, under guard (`guard`). A reader may read them or refuse them with its sentence;
whatever else happens is a finding, of which the input is kept.
"""
