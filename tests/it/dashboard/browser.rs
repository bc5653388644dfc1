//! A real Chromium without a screen, told what to do by WebDriver: JSON over HTTP, of
//! which the tests need a handful of commands, and Chromium's own behind them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::http::Client;
use crate::support::node::eventually;

/// A driver that takes longer to start does not.
const PATIENCE: Duration = Duration::from_secs(30);
/// How WebDriver names elements in its answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One window. Dropping it ends the browser.
pub struct Browser {
    driver: Child,
    client: Client,
    session: String,
}

impl Browser {
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there: scripts/test installs it");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let (started, start) = mpsc::channel();
        // Reads to the end: a full pipe would stop the driver.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    let _ = started.send(port.trim_end_matches('.').trim().parse::<u16>().unwrap());
                }
            }
        });
        let port = start.recv_timeout(PATIENCE).expect("chromedriver says its port");
        let client = Client { address: ([127, 0, 0, 1], port).into(), key: None };
        let mut browser = Self { driver, client, session: String::new() };
        let arguments = [
            "--headless=new",
            "--hide-scrollbars",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.ask("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().expect("a session has an id").to_owned();
        browser
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        match self.try_to(method, path, body) {
            Ok(value) => value,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    fn try_to(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let body = if method == "GET" || method == "DELETE" { String::new() } else { body.to_string() };
        let answer = self.client.send(method, path, &[("content-type", "application/json")], body.as_bytes());
        let value = answer.json()["value"].clone();
        if answer.status == 200 { Ok(value) } else { Err(value) }
    }

    fn path(&self, below: &str) -> String {
        format!("/session/{}{below}", self.session)
    }

    #[track_caller]
    pub fn go(&self, url: &str) {
        self.ask("POST", &self.path("/url"), &json!({ "url": url }));
    }

    pub fn url(&self) -> String {
        self.ask("GET", &self.path("/url"), &Value::Null).as_str().unwrap().to_owned()
    }

    fn find(&self, css: &str) -> Option<String> {
        let found = self.try_to("POST", &self.path("/element"), &json!({ "using": "css selector", "value": css }));
        found.ok().map(|found| found[ELEMENT].as_str().unwrap().to_owned())
    }

    /// Waits until there is such an element, and that is shown.
    #[track_caller]
    pub fn wait(&self, css: &str) -> String {
        eventually(&format!("`{css}` at {}", self.url()), || {
            let found = self.find(css)?;
            let shown = self.try_to("GET", &self.path(&format!("/element/{found}/displayed")), &Value::Null);
            (shown == Ok(Value::Bool(true))).then_some(found)
        })
    }

    /// Clicks what is, or will be, there.
    #[track_caller]
    pub fn click(&self, css: &str) {
        eventually(&format!("`{css}` can be clicked at {}", self.url()), || {
            let found = self.find(css)?;
            self.try_to("POST", &self.path(&format!("/element/{found}/click")), &json!({})).ok()
        });
    }

    /// Types into a field.
    #[track_caller]
    pub fn write(&self, css: &str, text: &str) {
        let found = self.wait(css);
        self.ask("POST", &self.path(&format!("/element/{found}/clear")), &json!({}));
        self.ask("POST", &self.path(&format!("/element/{found}/value")), &json!({ "text": text }));
    }

    /// Into the page of a frame.
    #[track_caller]
    pub fn frame(&self, css: &str) {
        let found = self.wait(css);
        self.ask("POST", &self.path("/frame"), &json!({ "id": { ELEMENT: found } }));
    }

    /// Out of all frames.
    pub fn top(&self) {
        self.ask("POST", &self.path("/frame"), &json!({ "id": null }));
    }

    /// Presses a key, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })])
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.ask("POST", &self.path("/actions"), &body);
    }

    /// What an element says.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.run(&format!("const e = document.querySelector({}); return e ? e.innerText : ''", json!(css)))
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until an element says this.
    #[track_caller]
    pub fn wait_for_text(&self, css: &str, wanted: &str) {
        eventually(&format!("`{css}` says `{wanted}`, and not `{}`", self.text(css)), || {
            self.text(css).contains(wanted).then_some(())
        });
    }

    /// Runs a script of the test's in the page. It stands outside of the page's policy.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", &self.path("/execute/sync"), &json!({ "script": script, "args": [] }))
    }

    /// A command of Chromium's own.
    #[track_caller]
    pub fn chromium(&self, command: &str, parameters: &Value) -> Value {
        self.ask("POST", &self.path("/goog/cdp/execute"), &json!({ "cmd": command, "params": parameters }))
    }

    /// How wide the page is to be.
    pub fn width(&self, width: u32) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the system is said to like: `light` or `dark`.
    pub fn scheme(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", &media);
    }

    /// Writes the whole page as a picture, for a person to look at.
    pub fn picture(&self, name: &str) {
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        // A busy Chromium now and then draws no frame until it is asked once more.
        let asked = json!({
            "cmd": "Page.captureScreenshot",
            "params": { "format": "png", "captureBeyondViewport": true },
        });
        let path = self.path("/goog/cdp/execute");
        let headers = [("content-type", "application/json")];
        let taken =
            (0..3).find_map(|_| self.client.try_to_send("POST", &path, &headers, asked.to_string().as_bytes()).ok());
        let taken = taken.expect("it draws").json()["value"].clone();
        let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// What the page's console said since the last look.
    pub fn console(&self) -> Vec<String> {
        let told = self.ask("POST", &self.path("/se/log"), &json!({ "type": "browser" }));
        told.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Signs in at a node.
    #[track_caller]
    pub fn sign_in(&self, base: &str, key: &str) {
        self.go(&format!("{base}/dashboard/login"));
        self.write("#key", key);
        self.click("button.primary");
        self.wait("nav a[aria-current], .menu");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.try_to("DELETE", &self.path(""), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where pictures go.
fn pictures() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"));
    target.join("screenshots")
}
