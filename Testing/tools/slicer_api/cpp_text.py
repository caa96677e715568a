# SPDX-License-Identifier: Apache-2.0
"""Enough of C++ to read the declarations of a header: comments, brackets, arguments, classes, statements."""

from __future__ import annotations

import re

_CLASS = re.compile(r"\bclass\s+(?:[A-Z][A-Z0-9_a-z]*_EXPORT\s+|Q_\w+_EXPORT\s+)?(\w+)\s*(?:final\s*)?(?::([^;{]*))?\{")
_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\])*")', re.S)
_ACCESS = re.compile(r"^\s*(public|protected|private|signals|Q_SIGNALS)\s*(slots|Q_SLOTS)?\s*:(?!:)", re.S)


def strip_comments(text: str) -> str:
    return _COMMENT.sub(lambda m: m.group(1) or " ", text)


def balanced(text: str, i: int, open_: str, close: str) -> int:
    """Index just after the bracket that closes the one at i."""
    depth = 0
    while i < len(text):
        c = text[i]
        if c == open_:
            depth += 1
        elif c == close:
            depth -= 1
            if depth == 0:
                return i + 1
        elif c == '"':
            j = i + 1
            while j < len(text) and text[j] != '"':
                j += 2 if text[j] == "\\" else 1
            i = j
        i += 1
    return len(text)


def split_args(args: str) -> list[str]:
    out, depth, cur = [], 0, ""
    for c in args:
        if c in "<([{":
            depth += 1
        elif c in ">)]}":
            depth -= 1
        if c == "," and depth == 0:
            out.append(cur)
            cur = ""
        else:
            cur += c
    if cur.strip():
        out.append(cur)
    return out


_TYPEWORDS = {"unsigned int": "uint", "unsigned long": "ulong", "unsigned char": "uchar", "unsigned": "uint"}
_BUILTIN = {"int", "char", "bool", "double", "float", "long", "short", "unsigned", "void"}


def norm_type(t: str) -> str:
    """A C++ parameter as moc writes it in a normalized signature."""
    t = t.split("=")[0].strip()
    t = re.sub(r"\s+", " ", t)
    m = re.match(r"^(.*[\w>*&])\s*([*&]?)\s*$", t)
    t = m.group(0) if m else t
    # drop the parameter's name
    m = re.match(
        r"^((?:const\s+)?(?:unsigned\s+|signed\s+|long\s+(?=long|int))*[\w:]+(?:\s*<.*>)?(?:\s+const)?\s*[*&\s]*)\b(\w+)?$", t
    )
    if m and m.group(2) and m.group(2) not in _BUILTIN:
        t = m.group(1)
    t = t.strip()
    if t.endswith("&") and t.startswith("const "):
        t = t[6:-1]
    elif t.startswith("const ") and not t.endswith("*"):
        t = t[6:]
    t = re.sub(r"\s*([*&<>,])\s*", r"\1", t).strip()
    return _TYPEWORDS.get(t, t)


def norm_signature(sig: str) -> str:
    m = re.match(r"\s*(\w+)\s*\((.*)\)\s*$", sig, re.S)
    if not m:
        return sig.strip()
    return f"{m.group(1)}({','.join(norm_type(a) for a in split_args(m.group(2)) if a.strip() != 'void')})"


def parse_function(stmt: str):
    """(name, return type, [normalized signatures with and without defaults]) or None."""
    i = stmt.find("(")
    if i < 0:
        return None
    head = stmt[:i].strip()
    j = balanced(stmt, i, "(", ")")
    args = split_args(stmt[i + 1 : j - 1])
    m = re.match(r"^(.*?)([~\w]+)$", head, re.S)
    if not m or not m.group(1).strip() or m.group(2).startswith("~") or "operator" in head:
        return None
    ret = re.sub(
        r"\b(virtual|static|inline|explicit|Q_INVOKABLE|Q_SLOT|Q_SIGNAL|Q_SCRIPTABLE|VTK_\w+|const)\b|\w+_DEPRECATED\([^)]*\)",
        " ",
        m.group(1),
    )
    ret = re.sub(r"\s+", "", ret)
    if not ret or ret in ("return", "new", "typedef", "using", "class", "struct"):
        return None
    types = [norm_type(a) for a in args if a.strip() and a.strip() != "void"]
    required = sum(1 for a in args if a.strip() and a.strip() != "void" and "=" not in a)
    name = m.group(2)
    sigs = [f"{name}({','.join(types[:n])})" for n in range(len(types), required - 1, -1)]
    return name, ret, sigs


class Cls:
    def __init__(self, name):
        self.name, self.bases = name, []
        self.properties, self.signals, self.methods, self.enums = {}, {}, {}, {}
        self.hidden = set()  # public C++ methods that Python cannot see
        self.deprecated = set()

    def add(self, table, fn):
        name, ret, sigs = fn
        e = table.setdefault(name, {"ret": ret, "sigs": []})
        e["sigs"] = sorted(set(e["sigs"]) | set(sigs))

    def as_dict(self):
        return {
            "bases": self.bases,
            "properties": self.properties,
            "signals": self.signals,
            "methods": self.methods,
            "enums": self.enums,
            "hidden": sorted(self.hidden),
        }


def iter_classes(text: str):
    for m in _CLASS.finditer(text):
        name, bases = m.group(1), m.group(2) or ""
        end = balanced(text, m.end() - 1, "{", "}")
        bl = [re.sub(r"\b(public|protected|private|virtual)\b", "", b).strip() for b in split_args(bases)]
        yield name, [re.sub(r"<.*", "", b) for b in bl if b], text[m.end() : end - 1]


def iter_statements(body: str):
    """Statements at the class's own depth, with the access section they stand in."""
    access, kind, i, cur = "private", "", 0, ""
    while i < len(body):
        c = body[i]
        if c == "#" and not cur.strip():
            j = body.find("\n", i)
            i = len(body) if j < 0 else j
            continue
        if not cur.strip():
            m = _ACCESS.match(body[i:])
            if m:
                if m.group(1) in ("signals", "Q_SIGNALS"):
                    access, kind = "public", "signal"
                else:
                    access, kind = m.group(1), "slot" if m.group(2) else ""
                i += m.end()
                cur = ""
                continue
            m = re.match(r"\s*([A-Z][A-Z0-9_a-z]*|vtk\w*Macro\w*|vtk(?:Set|Get|Boolean)\w+|Q_\w+)\s*(?=\()", body[i:])
            if (
                m
                and (m.group(1).isupper() or m.group(1).startswith(("Q_", "QVTK", "CTK_", "vtk")))
                and m.group(1) not in ("Q_INVOKABLE",)
            ):
                j = balanced(body, i + m.end(), "(", ")")
                yield access, kind, body[i:j].strip(), True
                i = j
                while i < len(body) and body[i] in "; \n\t":
                    i += 1
                continue
            m = re.match(r"\s*(Q_OBJECT|Q_GADGET|QVTK_OBJECT)\b", body[i:])
            if m:
                i += m.end()
                continue
        if c == ";":
            yield access, kind, cur.strip(), False
            cur = ""
        elif c == "{":
            j = balanced(body, i, "{", "}")
            if re.match(r"\s*(enum|class|struct|union)\b", cur) or re.search(r"\benum\b", cur):
                cur += body[i:j]
                i = j
                continue
            if "=" in cur and "(" not in cur:
                i = j
                continue
            yield access, kind, cur.strip(), False
            cur = ""
            i = j
            continue
        elif c == "(":
            j = balanced(body, i, "(", ")")
            cur += body[i:j]
            i = j
            continue
        elif c == '"':
            j = i + 1
            while j < len(body) and body[j] != '"':
                j += 2 if body[j] == "\\" else 1
            cur += body[i : j + 1]
            i = j + 1
            continue
        else:
            cur += c
        i += 1
