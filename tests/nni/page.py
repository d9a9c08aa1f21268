"""NNI's web page in headless Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

HEADER = "[role=columnheader]"


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser; the test is skipped only where there is none."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("there is no chromium with chromedriver on this machine: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=2400,1400",
    ):
        options.add_argument(word)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def title(browser: webdriver.Chrome, url: str) -> str:
    """The experiment's name, which stands on top of the page that one sees first."""
    browser.get(f"{url}/oview")
    end = time.monotonic() + 20
    while not (found := browser.find_elements(By.CSS_SELECTOR, ".overviewBasicInfo h3.title")):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found[0].text


class Table:
    """The table of trials on the page "Trials detail"."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        browser.get(f"{url}/detail")
        self.wait(lambda: bool(self.rows()))

    def wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, self.browser.find_element(By.TAG_NAME, "body").text
            time.sleep(0.2)

    def titles(self) -> list[str]:
        """The columns' titles, without the arrow of a sorted one."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.split('\\n')[0].trim())"
        return list(self.browser.execute_script(script, HEADER))

    def rows(self) -> list[list[str]]:
        script = """return [...document.querySelectorAll('.ms-DetailsRow')].map(
            row => [...row.querySelectorAll('[role=gridcell]')].map(cell => cell.innerText.split('\\n')[0].trim()))"""
        return list(self.browser.execute_script(script))

    def column(self, title: str) -> list[str]:
        at = self.titles().index(title)
        return [row[at] for row in self.rows()]

    def sort(self, title: str) -> None:
        """Click on a column's title."""
        headers = self.browser.find_elements(By.CSS_SELECTOR, f"{HEADER} .ms-DetailsHeader-cellTitle")
        next(header for header in headers if header.text.startswith(title)).click()
        time.sleep(0.7)

    def parameters(self) -> str:
        """What opens below the first row."""
        self.browser.find_element(By.CSS_SELECTOR, ".ms-DetailsRow [data-icon-name^=ChevronRight]").click()
        opened = ".openRow, .hyperpar"
        self.wait(lambda: bool(self.browser.find_elements(By.CSS_SELECTOR, opened)))
        self.wait(lambda: "genotype" in self.browser.find_element(By.CSS_SELECTOR, opened).text)
        return self.browser.find_element(By.CSS_SELECTOR, opened).text
