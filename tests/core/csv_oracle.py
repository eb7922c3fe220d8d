"""Python's csv module (RFC 4180 dialect) as the other reader and writer of our CSV files."""
import csv
import io
import json
import sys

texts = json.load(sys.stdin)
json.dump([list(csv.reader(io.StringIO(text, newline=""), strict=True)) for text in texts], sys.stdout)
