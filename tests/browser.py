"""A page in headless Chromium, driven as a user would: clicks, keys, and what is seen."""

import base64
import io
import json
import shutil
import subprocess
import time
from itertools import count

import numpy as np
from PIL import Image

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 300  # seconds
SHIFT = 8
OPTIONS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --hide-scrollbars "
    "--disable-gpu --disable-gpu-rasterization --enable-unsafe-swiftshader "
    "--remote-debugging-port=0"
)
# Drawn in software, what is on the screen takes long: only what is looked at is drawn. Other draws
# are made once, such as the light of the surroundings.
SPARING = """
window.painting = false
window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 100)
for (const name of ['Elements', 'Arrays', 'ElementsInstanced', 'ArraysInstanced']) {
  const gl = WebGL2RenderingContext.prototype, draw = gl['draw' + name]
  gl['draw' + name] = function (...what) {
    if (window.painting || this.getParameter(this.FRAMEBUFFER_BINDING)) draw.apply(this, what)
  }
}
"""
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
CENTRE = """
[...document.querySelectorAll('button, input, [role=tab], [role=option]')]
  .filter(e => (e.value || e.textContent).trim() === %s && e.getBoundingClientRect().width > 0)
  .map(e => e.getBoundingClientRect()).map(r => [r.x + r.width / 2, r.y + r.height / 2]).pop()
"""


class Browser:
    """A page of headless Chromium, by its DevTools protocol; `folder` is its profile."""

    def __init__(self, url, folder, size=(1000, 640)):
        from websockets.sync.client import connect

        words = [PROGRAM, *OPTIONS.split(), f"--user-data-dir={folder}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.size, self.numbers = size, count(1)
        self.process = subprocess.Popen(words, **quiet)
        try:
            port, browser = until(lambda: (folder / "DevToolsActivePort").read_text().split())
            with connect(f"ws://127.0.0.1:{port}{browser}", proxy=None) as self.socket:
                target = self.call("Target.createTarget", url="about:blank")["targetId"]
            page = f"ws://127.0.0.1:{port}/devtools/page/{target}"
            self.socket = connect(page, max_size=None, proxy=None)
            screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
            self.call("Emulation.setDeviceMetricsOverride", **screen)
            self.call("Page.enable")
            self.call("Page.addScriptToEvaluateOnNewDocument", source=SPARING)
            self.call("Page.navigate", url=url)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(PATIENCE))
            if answer.get("id") == number:
                return answer["result"]

    def run(self, script):
        """The value of an expression of JavaScript, once it has one."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=script, **options)
        return answer["result"].get("value")

    def shows(self, text):
        return self.run(f"document.body.innerText.includes({json.dumps(text)})")

    def click(self, text):
        """Click on the control that bears exactly this text, once it is there and rests."""
        place, before = None, ()
        while place != before:
            before = place
            place = until(lambda: self.run(CENTRE % json.dumps(text)), f"'{text}'")
            time.sleep(0.1)
        self.click_at(*place)

    def click_scene(self, x, y, modifiers=0):
        """Click on a place of the scene, once no message covers it."""
        top = f"document.elementFromPoint({x}, {y})?.tagName === 'CANVAS'"
        until(lambda: self.run(top), f"the scene at {x:.0f}, {y:.0f}")
        self.click_at(x, y, modifiers)

    def click_at(self, x, y, modifiers=0):
        for kind, buttons, clicks in (("Moved", 0, 0), ("Pressed", 1, 1), ("Released", 0, 1)):
            button = "left" if clicks else "none"
            event = {"x": x, "y": y, "modifiers": modifiers, "button": button, "buttons": buttons}
            self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", clickCount=clicks, **event)
            time.sleep(0.1)  # as long as a finger needs: the page looks at the scene between frames

    def rewrite(self, old, new):
        """Change the text of the field that has it."""
        self.click(old)
        self.run("document.activeElement.select()")
        self.call("Input.insertText", text=new)

    def picture(self):
        """What is seen, (H,W,3) uint8."""
        self.run("window.painting = true")
        self.run(DRAWN)
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        self.run("window.painting = false")
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def until(ask, what="an answer"):
    """What `ask` returns once that is something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if answer := ask():
                return answer
        except (FileNotFoundError, ValueError):  # a file that Chromium has not written yet
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{what} was waited for, {PATIENCE} s")
