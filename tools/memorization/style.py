"""How the report looks: on a screen of any width, in the dark, and on paper."""

# Nothing may be loaded, and nothing may run, whatever a file's name says.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

# Colours are named and not left to the browser: only so can their contrast be checked.
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; background: var(--paper);
  color: var(--ink); --images: #c2571a; --held-out: #3b78b5; --left-out: #767676; }
@media (prefers-color-scheme: dark) { :root { --paper: #161616; --ink: #ececec; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p, li { max-width: 46rem; } article p { margin: 0 0 .4rem; font-size: .85rem; }
.verdict { font-size: 1.25rem; border-left: .35rem solid #2e7d32; padding-left: 1rem; }
.verdict.closer-than-chance, .verdict.some-copies { border-color: #c77700; }
.verdict.memorized { border-color: #c62828; }
.mark { font-weight: 600; border: 1px solid; border-radius: .3rem; padding: 0 .35rem;
  font-size: .85rem; }
.key { display: inline-block; width: .9em; height: .9em; vertical-align: -.08em; }
.key.images { background: var(--images); } .key.held-out { background: var(--held-out); }
.key.left-out { background: var(--left-out); }
path.images { fill: var(--images); } path.held-out { fill: var(--held-out); }
path.left-out { fill: var(--left-out); }
.plot { font-size: .85rem; max-width: 46rem; margin-bottom: 1.5rem; break-inside: avoid; }
.plot p { margin: .3rem 0 0; } .plot svg { display: block; width: 100%; height: 4.5rem; }
.ticks { position: relative; height: 1.5rem; }
.ticks span { position: absolute; transform: translateX(-50%); }
.ticks .left { transform: none; } .ticks .right { transform: translateX(-100%); }
line { stroke: currentColor; vector-effect: non-scaling-stroke; }
table { border-collapse: collapse; font-size: .95rem; }
th, td { padding: .3rem .7rem .3rem 0; text-align: right; vertical-align: top; }
th:first-child { text-align: left; font-weight: 400; } thead th { font-weight: 600; }
tr + tr { border-top: 1px solid #8886; } .scroll { overflow-x: auto; }
summary { cursor: pointer; padding: .8rem 0; }
article { padding: .7rem 0; border-top: 1px solid #8886; break-inside: avoid; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; width: min(8.2rem, 30vw); }
figure img { width: 100%; height: auto; image-rendering: pixelated; display: block; }
figcaption { font-size: .8rem; line-height: 1.3; padding-top: .2rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { figure { width: calc((100% - 1rem) / 3); }
  th, td { padding-right: .45rem; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; }
  body { font-size: 11px; max-width: none; } figure { width: 2.4cm; } }
"""
