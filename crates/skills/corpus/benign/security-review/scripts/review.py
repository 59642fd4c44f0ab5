import pathlib, re, sys

PATTERNS = [
    re.compile(r"curl[^|]*\|\s*(ba)?sh"),
    re.compile(r"eval\s*\(\s*atob"),
    re.compile(r"rm\s+-rf\s+/"),
]
for path in pathlib.Path(sys.argv[1]).rglob("*"):
    if path.is_file():
        text = path.read_text(errors="ignore")
        for pattern in PATTERNS:
            if pattern.search(text):
                print(path, pattern.pattern)
