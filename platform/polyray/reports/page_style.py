"""Style sheet of the page: system fonts, two colour schemes, contents at the side if the window is wide."""

STYLE = """\
:root { color-scheme: light dark; --ink: #1d2329; --soft: #5a6570; --line: #dfe3e8; --back: #ffffff; --tint: #f5f7f9;
  --link: #2563a8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #9aa5b1; --line: #343b43; --back: #15191d; --tint: #1d2328; --link: #7db4ee; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: var(--back); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; display: grid; grid-template-columns: 15rem minmax(0, 1fr); }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding: 2rem 1rem 2rem 1.5rem;
  font-size: .9rem; }
nav p { margin: 0 0 .6rem; font-weight: 600; overflow-wrap: anywhere; }
nav ul { margin: 0; padding: 0; list-style: none; }
nav a { display: block; padding: .22rem 0; color: var(--soft); text-decoration: none; overflow-wrap: anywhere; }
nav a:hover, nav a:focus { color: var(--link); }
main { padding: 1.6rem 2rem 5rem; border-left: 1px solid var(--line); min-height: 100vh; max-width: 84rem; }
h1 { margin: 0 0 1.2rem; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.4rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 1.25rem; }
section { scroll-margin-top: 1rem; }
p { margin: .6rem 0; max-width: 46rem; white-space: pre-line; overflow-wrap: anywhere; }
a { color: var(--link); }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1.4rem; margin: .8rem 0; }
dt { color: var(--soft); max-width: 18rem; overflow-wrap: anywhere; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { padding: .32rem .8rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; border-bottom: 2px solid var(--line); white-space: nowrap; }
td:first-child, th:first-child { padding-left: .3rem; }
tbody tr:nth-child(even) { background: var(--tint); }
.number { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0 1.6rem; }
figure svg { display: block; max-width: 100%; height: auto; color: var(--ink); font-family: inherit; }
figcaption { margin-top: .4rem; max-width: 46rem; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
details { margin: .8rem 0; padding: .4rem .9rem; border: 1px solid var(--line); border-radius: 6px; }
summary { cursor: pointer; color: var(--link); overflow-wrap: anywhere; }
@media (max-width: 60rem) {
  body { display: block; }
  nav { position: sticky; z-index: 1; padding: .5rem 1rem; max-height: none; background: var(--back);
    border-bottom: 1px solid var(--line); }
  nav p { display: none; }
  nav ul { display: flex; gap: 0 1.1rem; overflow-x: auto; }
  nav a { white-space: nowrap; }
  main { padding: 1rem 1rem 4rem; border-left: 0; }
  section { scroll-margin-top: 3rem; }
}
@media print {
  body { display: block; }
  nav { display: none; }
  main { border-left: 0; padding: 0; max-width: none; }
}
"""
