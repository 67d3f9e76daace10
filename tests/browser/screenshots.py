"""`make screenshots`: pictures of the main pages for the README, light and dark, of a system with Acme on it.

They go to web/dashboard/screenshots, as name-light.png and name-dark.png, and name-phone-… at 380 px.
Names of pictures may be given to take only those: `python -m tests.browser.screenshots overview email`.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect

from flute_server import sandbox as sandboxes
from flute_server.local.embedded import temporary
from tests.browser.acme import NEWCOMER, OWNER, Acme
from tests.browser.town import PASSWORD, press, type_in
from tests.browsing import TELEPHONE, chromium
from tests.receiver import receiving
from tests.stack import ROOT, running

FOLDER = ROOT / "web" / "dashboard" / "screenshots"
WINDOW: ViewportSize = {"width": 1280, "height": 800}
SITE = "http://flute.acme.example"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@dataclass(frozen=True)
class Picture:
    """What to take. before: what to do on the page first; person: who looks, nobody if empty."""

    name: str
    path: str
    before: Callable[[Page], None] = lambda _: None
    phone: bool = False
    person: str = OWNER
    height: int = WINDOW["height"]


def dry_run(page: Page) -> None:
    """Of a mail to a customer."""
    type_in(page, to="mia.keller@northwind.example", subject="Your receipt for order 10500")
    press(page, "Dry run")
    expect(page.locator("#plan")).to_be_visible()


def pictures(acme: Acme) -> list[Picture]:
    environment = f"/environments/{acme.transactional.environment_id}"
    return [
        Picture("overview", "/overview", phone=True),
        Picture("emails", "/emails", phone=True),
        Picture("email", f"/emails/{acme.story}", phone=True, height=1240),
        Picture("routes", environment, phone=True),
        Picture("try", f"{environment}/try", before=dry_run),
        Picture("provider", f"/providers/{acme.providers['sendgrid']}"),
        Picture("provider-history", f"/providers/{acme.providers['sendgrid']}/history"),
        Picture("drill", f"/drills/{acme.drill}"),
        Picture("webhooks", f"/webhooks/{acme.endpoint}"),
        Picture("statistics", "/statistics?range=30d"),
        Picture("system", "/system"),
        Picture("start", "/start", person=NEWCOMER),
        Picture("login", "/login", person=""),
    ]


def log_in(page: Page, email: str) -> None:
    page.goto(f"{SITE}/login")
    type_in(page, email=email, password=PASSWORD)
    press(page, "Log in")
    page.wait_for_url(lambda url: "/login" not in url)


def with_few_colours(picture: Image.Image) -> Image.Image:
    """With a palette of 256: the colours that are there most, exactly, and those farthest from them. What
    Pillow itself can do tints either the grounds or the small coloured marks."""
    pixels = memoryview(picture.convert("RGBX").tobytes())
    colours = pixels.cast("I").tolist()
    parts = {colour: colour.to_bytes(4, sys.byteorder) for colour in set(colours)}
    chosen = [colour for colour, _ in Counter(colours).most_common(208)]
    nearest = dict.fromkeys(parts, (3 * 256**2, 0))  # how far away, and its place in the palette
    for place in range(256):
        if place == len(chosen):
            chosen.append(max(nearest, key=nearest.__getitem__))
        red, green, blue, _ = parts[chosen[place]]
        for colour, (r, g, b, _) in parts.items():
            distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2
            if distance < nearest[colour][0]:
                nearest[colour] = distance, place
    small = Image.frombytes("P", picture.size, bytes(nearest[colour][1] for colour in colours))
    small.putpalette(b"".join(parts[colour][:3] for colour in chosen))
    return small


def take(page: Page, picture: Picture, suffix: str, width: int) -> int:
    """The bytes that it takes."""
    page.set_viewport_size({"width": width, "height": picture.height})
    page.goto(SITE + picture.path)
    picture.before(page)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    small = with_few_colours(Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide"))))
    target = FOLDER / f"{picture.name}-{suffix}.png"
    small.save(target, optimize=True)
    return target.stat().st_size


def take_all(browser: Browser, wanted: Sequence[Picture]) -> int:
    """With a fresh browser for each person, theme and width."""
    size = 0
    for person in dict.fromkeys(picture.person for picture in wanted):
        mine = [picture for picture in wanted if picture.person == person]
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport=WINDOW, color_scheme=scheme, reduced_motion="reduce", timezone_id="Europe/Berlin"
            )
            page = context.new_page()
            if person:
                log_in(page, person)
            size += sum(take(page, picture, scheme, WINDOW["width"]) for picture in mine)
            telephone, width = f"phone-{scheme}", TELEPHONE["width"]
            size += sum(take(page, picture, telephone, width) for picture in mine if picture.phone)
            context.close()
    return size


def main() -> None:
    names = sys.argv[1:]
    FOLDER.mkdir(exist_ok=True)
    with (
        temporary() as services,
        sandboxes.start() as sandbox,
        tempfile.TemporaryDirectory() as folder,
        receiving() as shop,
    ):
        login, (host, port) = sandbox.credentials("smtp"), sandbox.address("smtp")
        settings = {
            "FLUTE_PUBLIC_URL": SITE,
            "FLUTE_SYSTEM_FROM": "Flute <flute@acme.example>",
            "FLUTE_SYSTEM_SMTP": f"smtp://{login['username']}:{login['password']}@{host}:{port}?starttls=off",
        }
        with running(services, sandbox, Path(folder), 2, **settings) as stack:
            acme = Acme.founded(stack, shop.url)
            found = [picture for picture in pictures(acme) if not names or picture.name in names]
            resolve = f"MAP flute.acme.example {stack.web_address.removeprefix('http://')}"
            with chromium(f"--host-resolver-rules={resolve}") as browser:
                size = take_all(browser, found)
    sys.stdout.write(f"{len(found)} pages in {FOLDER}, {size / 1000:,.0f} kB\n")


if __name__ == "__main__":
    main()
