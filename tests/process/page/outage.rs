//! A conversation on the three pages, with outages.

use serde_json::{Value, json};

use crate::page::browser::{BrowserWindow, HeadlessBrowser, has_browser};
use crate::page::demo::RunningDemo;

/// Returns an expression for the list item of a message.
fn item(author: &str, text: &str) -> String {
    let text = Value::from(text);
    format!(
        "[...document.querySelectorAll('#messages > [data-id][data-author={author}]')].find((li) => li.innerText.includes({text}))"
    )
}

async fn says(browser: &HeadlessBrowser, page: &BrowserWindow, text: &str) {
    browser.type_keys(page, "form#say input[name=text]", &format!("{text}\u{e007}")).await;
}

/// Waits until a page shows a message.
async fn shows(browser: &HeadlessBrowser, page: &BrowserWindow, author: &str, text: &str) {
    browser.until(page, &format!("!!{}", item(author, text))).await;
}

/// Waits until a page shows how far its own message has come at another server: `has` or `waits`.
async fn stands(
    browser: &HeadlessBrowser,
    page: &BrowserWindow,
    (author, text): (&str, &str),
    server: &str,
    state: &str,
) {
    let pill = format!(".pill[data-server={server}][data-state={state}]");
    browser.until(page, &format!("!!{}.querySelector('{pill}')", item(author, text))).await;
}

#[tokio::test]
async fn pages_show_messages_outage_and_healing() {
    if !has_browser() {
        return;
    }
    let demo = RunningDemo::start();
    let browser = HeadlessBrowser::start().await;
    let red = browser.open(&demo.address("red", "page")).await;
    let blue = browser.open(&demo.address("blue", "page")).await;
    let green = browser.open(&demo.address("green", "page")).await;
    for page in [&red, &blue, &green] {
        browser.until(page, "document.querySelectorAll('#contexts li').length === 2").await;
        browser.until(page, "document.querySelector('#network').textContent === 'connected'").await;
    }

    // Markup in a message is text.
    says(&browser, &red, "who waters <b>them</b>?").await;
    for page in [&blue, &green] {
        shows(&browser, page, "red", "who waters <b>them</b>?").await;
    }
    for server in ["blue", "green"] {
        let row = format!("!!document.querySelector('#receipts [data-server={server}][data-state=acknowledged]')");
        browser.until(&red, &row).await;
    }
    browser.type_keys(&blue, "#text", "I").await;
    for page in [&red, &green] {
        browser.until(page, "document.querySelector('#typing').textContent === 'blue is typing'").await;
    }
    says(&browser, &blue, " do").await;
    for page in [&red, &green] {
        shows(&browser, page, "blue", "I do").await;
        browser.until(page, "document.querySelector('#typing').textContent === ''").await;
        browser.until(page, "document.querySelectorAll('svg#graph [data-pdu]').length === 2").await;
        browser.until(page, "document.querySelectorAll('svg#graph .edge').length === 1").await;
    }

    // Green is cut off: what red sends waits, and so does what green writes.
    browser.click(&green, "button#cut[aria-pressed=false]").await;
    browser.until(&green, "document.querySelector('button#cut').getAttribute('aria-pressed') === 'true'").await;
    browser.until(&red, "document.querySelector('#servers [data-server=green]').innerText.includes('cut off')").await;
    says(&browser, &red, "while green is away").await;
    says(&browser, &green, "written alone").await;
    shows(&browser, &blue, "red", "while green is away").await;
    stands(&browser, &red, ("red", "while green is away"), "blue", "has").await;
    stands(&browser, &red, ("red", "while green is away"), "green", "waits").await;
    stands(&browser, &green, ("green", "written alone"), "red", "waits").await;
    browser.until(&green, "document.querySelectorAll('svg#graph .node.pending').length === 1").await;
    browser.until(&red, "document.querySelector('#links [data-server=green]').dataset.state === 'backing_off'").await;
    assert_eq!(browser.value(&green, &format!("!!{}", item("red", "while green is away"))).await, false);

    // Green comes back and red goes: green gets blue's answer, and waits for what it answers.
    says(&browser, &blue, "an answer to red").await;
    shows(&browser, &red, "blue", "an answer to red").await;
    browser.click(&red, "button#cut").await;
    browser.until(&green, "document.querySelector('#servers [data-server=red]').innerText.includes('cut off')").await;
    browser.click(&green, "button#cut").await;
    browser.until(&green, "document.querySelectorAll('svg#graph .gap[data-server=red]').length === 1").await;
    shows(&browser, &blue, "green", "written alone").await;
    assert_eq!(browser.value(&green, &format!("!!{}", item("blue", "an answer to red"))).await, false);

    browser.click(&red, "button#cut").await;
    shows(&browser, &green, "blue", "an answer to red").await;
    let (before, after) = (item("red", "while green is away"), item("blue", "an answer to red"));
    let in_order = format!("({before}).compareDocumentPosition({after}) === Node.DOCUMENT_POSITION_FOLLOWING");
    assert_eq!(browser.value(&green, &in_order).await, true);
    stands(&browser, &red, ("red", "while green is away"), "green", "has").await;
    for page in [&red, &blue, &green] {
        shows(&browser, page, "green", "written alone").await;
        browser.until(page, "document.querySelectorAll('svg#graph [data-pdu]').length === 5").await;
        browser.until(page, "document.querySelectorAll('svg#graph .gap, svg#graph .pending').length === 0").await;
    }

    // The page fits a phone, and follows the scheme of the system.
    let phone = json!({"width": 390, "height": 780, "deviceScaleFactor": 1, "mobile": true});
    browser.command(&blue, "Emulation.setDeviceMetricsOverride", phone).await;
    browser.until(&blue, "innerWidth === 390 && document.documentElement.scrollWidth <= 390").await;
    let light = browser.value(&blue, "getComputedStyle(document.body).backgroundColor").await;
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.command(&blue, "Emulation.setEmulatedMedia", dark).await;
    browser.until(&blue, &format!("getComputedStyle(document.body).backgroundColor !== {light}")).await;
    for page in [&red, &blue, &green] {
        assert_eq!(browser.console(page).await, Vec::<String>::new());
    }
}
