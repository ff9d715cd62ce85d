"""The frame of the report page: everything of it that does not depend on the numbers."""

from string import Template

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1c1c1c; --faint: #5c5c5c; --line: #d5d5d5;
  --unseen: #b04a00; --tint: #fdf0e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181b; --ink: #e8e8e8; --faint: #a8a8a8; --line: #3b3f45;
    --unseen: #ff9d57; --tint: #2d2219;
  }
}
body {
  margin: 0 auto; padding: 1rem; max-width: 75rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1, h2, h3 { line-height: 1.25; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td {
  padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line);
  text-align: right; white-space: nowrap;
}
thead th { vertical-align: bottom; }
th:first-child, td.words { text-align: left; }
tbody th { font-weight: normal; }
tr.unseen { background: var(--tint); }
tr.unseen th, .unseen-name { color: var(--unseen); }
tr.reported th, tr.reported td { color: var(--faint); font-style: italic; }
.tag {
  border: 1px solid currentcolor; border-radius: 0.3rem; padding: 0 0.3rem;
  font-size: 0.75rem; font-style: normal;
}
.note, footer { color: var(--faint); font-size: 0.9rem; }
figure { margin: 1rem 0; break-inside: avoid; }
figcaption { color: var(--faint); font-size: 0.9rem; }
.picture { background: #ffffff; }  /* charts are drawn for white, also on a dark page */
.picture img { display: block; max-width: 100%; min-width: 42rem; }
.panels { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.panels figure { flex: 1 1 15rem; max-width: 26rem; margin: 0; }
.panels img { display: block; width: 100%; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; }
.swatch {
  display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.35em;
  vertical-align: -0.1em; print-color-adjust: exact; -webkit-print-color-adjust: exact;
}
.provenance th, .provenance td { text-align: left; vertical-align: top; }
.provenance td { white-space: normal; }
@media print {
  :root {
    color-scheme: light;
    --page: #ffffff; --ink: #000000; --faint: #444444; --line: #bbbbbb;
    --unseen: #8a3a00; --tint: #fdf0e6;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  .picture img { min-width: 0; max-height: 90vh; }
  table { font-size: 8pt; }
  th, td { padding: 0.1rem 0.35rem; }
  tr, .panels { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
</style>
</head>
<body>
<header>
<h1>$title</h1>
$lead
</header>
<main>
$body
</main>
<footer>
<h2>Where the numbers come from</h2>
$footer
</footer>
</body>
</html>
""")
