"""Joins executed notebooks into one HTML page that needs nothing but itself.

Usage: make_report.py OUTPUT TITLE NOTE NOTEBOOK...

NOTE stands on top of the page; it may be empty. The page holds no script and may load nothing: the
Content-Security-Policy says so to the browser, whatever an output may hold.
"""

import html
import os
import re
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
STYLE = """
body { font: 15px/1.55 system-ui, sans-serif; color: #1a1a1a; max-width: 960px; margin: 2em auto;
  padding: 0 1.5em; }
h1, h2, h3 { line-height: 1.25; }
nav { background: #f5f5f7; border-radius: 6px; padding: .8em 1.2em; }
nav ol { margin: .3em 0; padding-left: 1.3em; }
section { border-top: 3px solid #ddd; margin-top: 3em; }
.note { background: #fff3cd; border: 1px solid #e0c068; border-radius: 6px; padding: .6em 1em; }
.highlight, pre { background: #f7f7f8; border-radius: 4px; font: 12.5px/1.45 ui-monospace, monospace; }
pre { padding: .6em .9em; margin: .5em 0; overflow-x: auto; white-space: pre-wrap; }
.output_area { overflow-x: auto; }
.output_area pre { background: none; padding: .2em 0; }
.output_error { border-left: 3px solid #c62828; padding-left: .6em; }
.prompt, .anchor-link { display: none; }
img, svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25em .7em; border-bottom: 1px solid #e4e4e4; text-align: left; }
"""


def body_of(path):
    notebook = nbformat.read(path, as_version=4)
    exporter = HTMLExporter(template_name="basic", embed_images=True)
    body, _ = exporter.from_notebook_node(notebook)
    return without_scripts(body)


def without_scripts(body):
    """The policy keeps a script from running; without one the page is smaller and prints cleanly."""
    body = re.sub(r"<script\b.*?</script\s*>", "", body, flags=re.S | re.I)
    return re.sub(r"<link\b[^>]*>", "", body, flags=re.I)


def page(title, note, notebooks):
    links, sections = [], []
    for path in notebooks:
        name = html.escape(path.stem)
        links.append(f'<li><a href="#{name}">{name}</a></li>')
        sections.append(f'<section id="{name}">\n{body_of(path)}\n</section>')
    banner = f'<p class="note">{html.escape(note)}</p>' if note else ""
    style = HtmlFormatter().get_style_defs(".highlight") + STYLE
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
{banner}
<nav><ol>{"".join(links)}</ol></nav>
{"".join(sections)}
</body>
</html>
"""


def write_atomic(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


if __name__ == "__main__":
    output, title, note, *notebooks = sys.argv[1:]
    write_atomic(Path(output), page(title, note, [Path(path) for path in notebooks]))
