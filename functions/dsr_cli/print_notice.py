"""The privacy notice as a PDF to print: tagged headings, selectable text, any European alphabet.

At build time and on the command line only: fpdf2 and its font ship in no function.
"""

import base64
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dsr.datamap.notice import Notice

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT = "Noto Sans"
_SOFT = (90, 90, 90)
_SIZES = {1: 20.0, 2: 14.0, 3: 11.5}
# The same notice gives the same bytes, whenever it is built.
_MADE = datetime(2020, 1, 1, tzinfo=UTC)


def to_pdf(notice: Notice) -> bytes:
    """The whole notice on A4 pages."""
    sheet = _sheet(notice)
    _heading(sheet, 1, notice.title)
    _controller(sheet, notice)
    if notice.promises:
        _listed(sheet, "What we promise", notice.promises)
    _heading(sheet, 2, "What we hold")
    for held in notice.holdings:
        _heading(sheet, 3, held.title)
        for label, said in held.told:
            _fact(sheet, label, said)
    _listed(sheet, "Who receives data", notice.recipients or ("Nobody but us.",))
    _listed(sheet, "What stays after a deletion", notice.exceptions or ("Nothing.",))
    _paragraph(sheet, notice.deleted)
    _heading(sheet, 2, "Your rights")
    for label, said in notice.rights:
        _fact(sheet, label, said)
    answer = (
        "A copy and a deletion you can ask for on our site; for all else write to "
        f"{notice.controller['contact']}. Asking costs nothing. We answer within one month, or the shorter "
        "time that your country's law sets."
    )
    complaint = notice.controller["complaint"]
    _paragraph(sheet, f"{answer} You may also complain to {complaint} (Art. 77)." if complaint else answer)
    _heading(sheet, 2, "About requests themselves")
    for said in notice.requests:
        _paragraph(sheet, said)
    if notice.children:
        _heading(sheet, 2, "Children")
        _paragraph(sheet, notice.children)
    return in_ascii(bytes(sheet.output()))


_STREAM = re.compile(
    rb"(?s)<<(?P<head>(?:(?!endobj).)*?)/Length (?P<length>\d+)(?P<tail>(?:(?!endobj).)*?)>>\s*stream\n"
)
_OBJECT = re.compile(rb"(?s)(\d+) 0 obj\n")


def in_ascii(file: bytes) -> bytes:
    """The same PDF with its streams in ASCII 85, so that it can go wherever text goes (ISO 32000-1, 7.4.3).

    Of a file as fpdf2 writes it: objects one after another, a table of their places, a trailer.
    """
    table = file.rindex(b"\nxref\n") + 1
    made, places, at = bytearray(b"%PDF-1.4\n%ASCII\n"), dict[int, int](), 0
    while begin := _OBJECT.search(file, at, table):
        head = _STREAM.match(file, begin.end(), table)
        if head:
            end = head.end() + int(head["length"])
            body = _encoded(head["head"] + head["tail"], file[head.end() : end])
            at = file.index(b"endobj", end)
        else:
            at = file.index(b"endobj", begin.end())
            body = file[begin.end() : at]
        number = int(begin[1])
        places[number] = len(made)
        made += b"%d 0 obj\n%s\nendobj\n" % (number, body.rstrip())
    rows = b"".join(b"%010d 00000 n \n" % places[n] for n in sorted(places))
    trailer = file[file.rindex(b"trailer") : file.rindex(b"startxref")]
    xref = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, rows)
    made += xref + trailer + b"startxref\n%d\n%%%%EOF\n" % len(made)
    made.decode("ascii")  # nothing of it is left out
    return bytes(made)


def _encoded(said: bytes, content: bytes) -> bytes:
    """A stream object in ASCII 85; `said`: its dictionary without the length."""
    text = base64.a85encode(content, wrapcol=100) + b"~>"
    kept = re.sub(rb"/Filter\s*/(\w+)", rb"", said)
    before = b"".join(b" /" + name for name in re.findall(rb"/Filter\s*/(\w+)", said))
    return b"<<%s /Filter [/ASCII85Decode%s] /Length %d>>\nstream\n%s\nendstream" % (
        kept,
        before,
        len(text),
        text,
    )


def _sheet(notice: Notice) -> "FPDF":
    import fontpkg  # type: ignore[import-untyped]
    from fpdf import FPDF
    from fpdf.enums import XPos, YPos

    class Sheet(FPDF):
        """Pages with a foot."""

        def footer(self) -> None:
            """Which notice, which version, which page."""
            self.set_y(-14)
            self.set_font(_FONT, size=8)
            self.set_text_color(*_SOFT)
            line = f"{notice.title} · version {notice.version} · page {self.page_no()} of {{nb}}"
            self.cell(0, 6, line, align="C", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self.set_text_color(0)

    sheet = Sheet(format="A4")
    # One weight only: to make a bold one of a variable font takes seconds at every build.
    sheet.add_font(_FONT, fname=str(fontpkg.path(_FONT)))
    sheet.set_title(notice.title)
    sheet.set_author(notice.controller["name"])
    sheet.set_lang("en")
    sheet.set_creation_date(_MADE)
    sheet.set_margins(22, 20)
    sheet.set_auto_page_break(True, margin=20)
    sheet.add_page()
    return sheet


def _heading(sheet: "FPDF", level: int, text: str) -> None:
    """A heading; the bookmarks of the file lead to it. It never stands alone at the foot of a page."""
    if sheet.get_y() > sheet.h - 55:
        sheet.add_page()
    sheet.ln({1: 0, 2: 5, 3: 3}[level])
    sheet.start_section(text, level=max(0, level - 2))
    sheet.set_font(_FONT, size=_SIZES[level])
    _lines(sheet, text, _SIZES[level] * 0.5)
    sheet.ln(1.5)


def _paragraph(sheet: "FPDF", text: str) -> None:
    sheet.set_font(_FONT, size=9.5)
    _lines(sheet, text, 5)
    sheet.ln(1.5)


def _listed(sheet: "FPDF", title: str, items: tuple[str, ...]) -> None:
    _heading(sheet, 2, title)
    for item in items:
        sheet.set_font(_FONT, size=9.5)
        sheet.cell(5, 5, "•")
        _lines(sheet, item, 5)
    sheet.ln(1)


def _fact(sheet: "FPDF", label: str, said: str) -> None:
    """A label, and beside it what is said."""
    if sheet.get_y() > sheet.h - 32:
        sheet.add_page()
    sheet.set_font(_FONT, size=9)
    sheet.set_text_color(*_SOFT)
    sheet.multi_cell(44, 4.8, label, align="L", new_x="RIGHT", new_y="TOP")
    sheet.set_text_color(0)
    sheet.set_x(sheet.l_margin + 46)
    _lines(sheet, said, 4.8)
    sheet.ln(0.6)


def _lines(sheet: "FPDF", text: str, height: float) -> None:
    sheet.multi_cell(0, height, text, align="L", new_x="LMARGIN", new_y="NEXT")


def _controller(sheet: "FPDF", notice: Notice) -> None:
    told = notice.controller
    _fact(sheet, "Who answers for it", ", ".join(filter(None, (told["name"], told["address"]))))
    _fact(sheet, "Write to", told["contact"])
    if told["officer"]:
        _fact(sheet, "Data protection officer", told["officer"])
