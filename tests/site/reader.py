"""A headless Chromium: Debian's `chromium` and `chromium-driver`."""

import json
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = [
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "hide-scrollbars",
]

# The messages between Material's search and its worker: 0 is the index, 1 that it is ready, 2 a query, 3 a result.
SEARCH = """
const [texts, done] = arguments;
const {base, search} = JSON.parse(document.querySelector("#__config").textContent);
const worker = new Worker(new URL(search, document.baseURI));
const places = [];
worker.onmessage = ({data: {type, data}}) => {
  if (type === 3) places.push(data.items.map((sections) => sections.map((section) => section.location)));
  if (places.length === texts.length) done(places);
  else worker.postMessage({type: 2, data: texts[places.length]});
};
const index = fetch(new URL(`${base}/search/search_index.json`, document.baseURI)).then((answer) => answer.json());
index.then(({config, docs}) => {
  worker.postMessage({type: 0, data: {config, docs, options: {suggest: false}}});
});
"""


class Reader:
    def __init__(self, profile):
        options = webdriver.ChromeOptions()
        options.binary_location = _program("chromium")
        for flag in [*FLAGS, f"user-data-dir={profile}"]:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(_program("chromedriver")))
        forget = {"source": "if (location.protocol !== 'about:') localStorage.clear()"}  # what earlier pages keep there
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", forget)

    def look(self, width, height, scheme):
        """Sets the size of the window, and whether the reader wants a light or a dark page, as on a first visit."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wish = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wish]})

    def open(self, address):
        self.driver.get("about:blank")  # a page that differs by its anchor alone would not be loaded
        self.driver.get(address)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition, what):
        """What a condition gives once it is true."""
        return WebDriverWait(self.driver, 20, 0.05).until(lambda _: condition(), what)

    def search(self, text):
        """The addresses that the search finds for a text that is typed."""
        self.driver.find_element(By.CSS_SELECTOR, ".md-search__input").send_keys(text)
        found = "return [...document.querySelectorAll('a.md-search-result__link')].map(a => [a.href, a.hash])"
        links = self.wait(lambda: self.run(found), f"the search found nothing for {text!r}")
        return [link.partition("?")[0] + anchor for link, anchor in links]

    def search_for_each(self, texts):
        """The places that the search finds for each text, by the program behind the field."""
        self.driver.set_script_timeout(60)
        return self.driver.execute_async_script(SEARCH, texts)

    def picture(self, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))

    def what_was_logged(self):
        """Messages of the console, and the addresses that were asked for, since the last call."""
        console = [entry["message"] for entry in self.driver.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return console, asked

    def quit(self):
        self.driver.quit()


def _program(name):
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"the tests of the site need `{name}`: apt-get install chromium chromium-driver")
    return path
