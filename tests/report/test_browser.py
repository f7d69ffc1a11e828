"""The page in a real browser: it opens from disk without an error, filters, sorts, links and fits on a wide and a narrow screen.

A copy of the page gets a script that says what it sees; Chromium runs it and prints the document.
"""

import html
import json
import re
import shutil
import subprocess

import pytest

from assay.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")

LISTEN = """<script>
window.wrong = [];
addEventListener("error", (event) => wrong.push(String(event.message || event.target.src)), true);
</script>"""
TELL = """<pre id="told"></pre><script>
addEventListener("load", () => setTimeout(() => {
  document.getElementById("told").textContent = JSON.stringify({ wrong, said: (SCRIPT)() });
}, 50));
</script>"""

OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("h1, h2, h3, p, dl, form, summary, figcaption, table")]
    .filter((one) => one.checkVisibility() && !one.closest(".wide")).map((one) => [one, one.getBoundingClientRect()]);
  const found = [];
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
    const [a, p] = boxes[i], [b, q] = boxes[j];
    if (a.contains(b) || b.contains(a)) continue;
    const across = p.left < q.right - 1 && q.left < p.right - 1, down = p.top < q.bottom - 1 && q.top < p.bottom - 1;
    if (across && down) found.push([a.tagName, b.tagName, a.textContent.slice(0, 40)]);
  }
  return { found, wide: document.documentElement.scrollWidth - innerWidth };
}"""
SHOWN = """() => ({
  rows: [...document.querySelectorAll("#matrix tr[data-claim]")].filter((row) => !row.hidden).map((row) => row.dataset.claim),
  count: document.getElementById("shown").textContent,
})"""


@pytest.fixture(scope="module")
def out(one_repository):
    """The folder of the report."""
    write_report(one_repository / "snapshots", one_repository / "report")
    return one_repository / "report"


@pytest.fixture
def look(out, tmp_path):
    """`look(script, width, query)`: what the script returns on the page; fails if the page had an error."""

    def look(script, width=1400, query=""):
        text = (out / "index.html").read_text(encoding="utf-8")
        text = text.replace("<head>", "<head>" + LISTEN).replace("</body>", TELL.replace("SCRIPT", script) + "</body>")
        (out / "copy.html").write_text(text, encoding="utf-8")
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--window-size={width},2000",
            "--virtual-time-budget=4000",
        ]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{out / 'copy.html'}{query}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
        told = json.loads(html.unescape(found[1]))
        assert told["wrong"] == []
        return told["said"]

    return look


def test_it_opens_from_disk_and_nothing_overlaps(look):
    for width in (1400, 400):
        said = look(OVERLAPS, width)
        assert said["found"] == []
        assert said["wide"] <= 0  # wide tables scroll by themselves


def test_the_matrix_has_every_claim_and_filters_by_address(look):
    assert look(SHOWN) == {"rows": ["test_patching-test_rescues"], "count": "1 of 1 claims"}
    assert look(SHOWN, query="?verdict=no")["rows"] == []
    assert look(SHOWN, query="?words=saves")["rows"] == []
    assert look(SHOWN, query="?words=patch&model=qwen7b")["rows"] == ["test_patching-test_rescues"]


def test_links_lead_to_the_claim_and_open_what_is_closed(look):
    script = """() => {
      const ids = [...document.querySelectorAll('a[href^="#"]')].map((a) => a.getAttribute("href").slice(1));
      const missing = ids.filter((id) => !document.getElementById(id));
      const claim = document.getElementById("test_patching-test_rescues");
      claim.open = false;
      location.hash = "#test_patching-test_rescues";
      dispatchEvent(new HashChangeEvent("hashchange"));
      return { missing, open: claim.open };
    }"""
    assert look(script) == {"missing": [], "open": True}


def test_sorting_and_keys(look):
    script = """() => {
      const button = document.querySelector('[data-sort="llama_tiny"]');
      button.click();
      const pressed = button.getAttribute("aria-pressed");
      document.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }));
      return { pressed, focus: document.activeElement.name };
    }"""
    assert look(script) == {"pressed": "true", "focus": "words"}


def test_a_cell_of_a_heatmap_says_its_pair_number_and_n(look):
    script = """() => {
      const image = document.querySelector('img[data-cells="patching-heatmap_back"]'), tip = document.getElementById("tip");
      image.loading = "eager";
      const cells = JSON.parse(document.getElementById("cells").textContent)["patching-heatmap_back"].panels[0];
      const box = image.getBoundingClientRect(), [left, top, width, height] = cells.box, n = cells.values.length;
      const at = (row, column) => image.dispatchEvent(new MouseEvent("mousemove", {
        clientX: box.left + box.width * (left + width * (column + .5) / n),
        clientY: box.top + box.height * (top + height * (n - row - .5) / n),
      }));
      at(3, 1);
      const said = [tip.textContent];
      at(0, 3);
      said.push(tip.textContent);
      image.dispatchEvent(new MouseEvent("mouseleave"));
      return [...said, tip.hidden];
    }"""
    assert look(script) == [
        "llama_tiny: source layer 3, target layer 1: 0.5, n 16",
        "llama_tiny: source layer 0, target layer 3: not measured, n 16",
        True,
    ]
