//! The server against its own document: for each operation requests that fit, and requests
//! that are spoilt in many ways, by every kind of key. Nothing is ever answered 500, no
//! connection is dropped without a word, every answer is one that the document tells of,
//! and what breaks a body's schema is never taken. Afterwards the node delivers as before.

mod generator;

use std::fmt::Write as _;

use posthaste::clock::Clock;
use serde_json::{Value, json};

use crate::routes::walk::filled;
use crate::support::contract::{Contract, Operation};
use crate::support::http::{Client, Response, exchange};
use crate::support::node::{Node, Tenant, campaign};
use crate::support::receiver::Subscriber;

use generator::Generator;

/// For each operation, unless `POSTHASTE_FUZZ_REQUESTS` says otherwise; the whole run takes
/// a few thousand.
const REQUESTS_EACH: u64 = 120;
/// The same requests each time, unless `POSTHASTE_FUZZ_SEED` says otherwise.
const SEED: u64 = 20_260_131;

fn option(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// One request, as it will be sent.
struct Request {
    client: Client,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// Whether something is wrong with it for certain, and what.
    is_wrong: Option<String>,
}

impl Request {
    /// With header values of any bytes, and an answer that may be none.
    fn send(&self) -> Option<Response> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", self.method, self.path).into_bytes();
        if let Some(key) = &self.client.key {
            bytes.extend_from_slice(format!("authorization: Bearer {key}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if !self.body.is_empty() || !matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE") {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        Response::parse(&exchange(self.client.address, &bytes))
    }

    fn told(&self) -> String {
        let headers: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
        let body = String::from_utf8_lossy(&self.body).chars().take(3_000).collect::<String>();
        format!("{} {}\n{}\n\n{body}", self.method, self.path, headers.join("\n"))
    }
}

/// What requests are made of.
struct Fuzzer<'a> {
    contract: &'a Contract,
    make: Generator<'a>,
    callers: Vec<Client>,
    /// Ids of things that are there, whosever they are, and names.
    things: Vec<String>,
    partner: String,
}

impl Fuzzer<'_> {
    fn request(&mut self, operation: &Operation) -> Request {
        let client = self.make.pick(&self.callers).clone();
        let mut request = Request {
            client,
            method: operation.method.clone(),
            path: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            is_wrong: None,
        };
        let thing = self.thing(operation);
        // Without a name it would be another route.
        request.path = filled(&operation.path, if thing.is_empty() { "none" } else { &thing });
        self.query(operation, &mut request);
        self.headers(operation, &mut request);
        self.body(operation, &mut request);
        request
    }

    fn parameters(&self, operation: &Operation, place: &str) -> Vec<Value> {
        let all = operation.told["parameters"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|told| told["in"] == place).collect()
    }

    /// What goes into the path: mostly something that is there.
    fn thing(&mut self, operation: &Operation) -> String {
        let Some(told) = self.parameters(operation, "path").pop() else { return String::new() };
        match self.make.random.u32(..6) {
            0 => encoded(&self.make.odd_text()),
            1 => {
                let odd = ["%ff", "%00", "%2e%2e%2f", "%", "%zz", "a%2Fb", "ep_", "ep_01h455vb4pex5vsknk084sn02Q"];
                (*self.make.pick(&odd)).to_owned()
            }
            2 => encoded(self.make.value(&told["schema"], 0).as_str().unwrap_or_default()),
            _ => {
                let prefix = match operation.path.split('/').nth(1).unwrap_or_default() {
                    "webhook" => "ep_",
                    "events" => "evt_",
                    "deliveries" => "dlv_",
                    "keys" => "key_",
                    "nodes" => "node_",
                    _ => "",
                };
                let fitting: Vec<String> =
                    self.things.iter().filter(|thing| thing.starts_with(prefix)).cloned().collect();
                if fitting.is_empty() { "none".to_owned() } else { self.make.pick(&fitting).clone() }
            }
        }
    }

    fn query(&mut self, operation: &Operation, request: &mut Request) {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for told in self.parameters(operation, "query") {
            let name = told["name"].as_str().unwrap_or_default().to_owned();
            if told["required"] != true && !self.make.one_in(3) {
                continue;
            }
            let value = match (name.as_str(), self.make.random.u32(..5)) {
                (_, 0) => self.make.odd_text(),
                ("partner", 1..=3) => self.partner.clone(),
                ("cursor" | "endpoint" | "event", 1..=2) => self.make.pick(&self.things).clone(),
                _ => match self.make.value(&told["schema"], 0) {
                    Value::String(text) => text,
                    other => other.to_string(),
                },
            };
            pairs.push((name, value));
        }
        let asks_for_a_key = operation.told["security"].is_array();
        if self.make.one_in(12) {
            pairs.push((format!("x{}", self.make.word()), self.make.odd_text()));
            request.is_wrong = asks_for_a_key.then(|| "an unknown parameter".to_owned());
        }
        if self.make.one_in(12) && !pairs.is_empty() {
            let again = self.make.pick(&pairs).clone();
            pairs.push(again);
            request.is_wrong = asks_for_a_key.then(|| "a parameter twice".to_owned());
        }
        for (place, (name, value)) in pairs.iter().enumerate() {
            request.path.push(if place == 0 { '?' } else { '&' });
            let _ = write!(request.path, "{}={}", encoded(name), encoded(value));
        }
    }

    fn headers(&mut self, operation: &Operation, request: &mut Request) {
        for told in self.parameters(operation, "header") {
            if !self.make.one_in(3) {
                continue;
            }
            let name = told["name"].as_str().unwrap_or_default().to_owned();
            let value = match self.make.random.u32(..3) {
                0 => (0..self.make.random.usize(..300))
                    .map(|_| self.make.random.u8(0x20..))
                    .filter(|byte| *byte != 0x7f)
                    .collect(),
                _ => match self.make.value(&told["schema"], 0) {
                    Value::String(text) => text.into_bytes(),
                    other => other.to_string().into_bytes(),
                },
            };
            // What ends a line would be another request altogether.
            let value: Vec<u8> = value.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect();
            if self.make.one_in(10) {
                request.headers.push((name.clone(), value.clone()));
            }
            request.headers.push((name, value));
        }
        if self.make.one_in(10) {
            request.headers.push(("accept".to_owned(), b"image/png;q=0.1".to_vec()));
        }
    }

    fn body(&mut self, operation: &Operation, request: &mut Request) {
        let Some(content) = operation.told["requestBody"]["content"].as_object() else {
            // A body where none is read is passed over, and the connection stays whole.
            if self.make.one_in(8) {
                request.body = b"{\"unread\": true}".to_vec();
            }
            return;
        };
        let media_types: Vec<&String> = content.keys().collect();
        let mut media_type = (*self.make.pick(&media_types)).clone();
        let schema = &content[&media_type]["schema"];
        let is_json = self.contract.resolved(schema)["type"] != "string";
        let mut value = self.make.value(schema, 0);
        if self.make.random.bool() {
            for _ in 0..self.make.random.usize(1..4) {
                self.make.spoil(&mut value);
            }
        }
        request.body = match &value {
            Value::String(lines) if !is_json => lines.clone().into_bytes(),
            _ if is_json && may_be_left_out(operation) && self.make.one_in(4) => return,
            _ => value.to_string().into_bytes(),
        };
        // A batch is taken whatever its lines are.
        if is_json
            && operation.id != "post_events"
            && let Err(why) = self.contract.fits(schema, &value)
        {
            request.is_wrong = Some(why);
        }
        if self.make.one_in(5) {
            self.make.spoil_bytes(&mut request.body);
            request.is_wrong = None;
        }
        if self.make.one_in(12) {
            let odd = ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=\"", "\u{e9}"];
            media_type = (*self.make.pick(&odd)).to_owned();
        }
        request.headers.push(("content-type".to_owned(), media_type.into_bytes()));
    }
}

fn may_be_left_out(operation: &Operation) -> bool {
    operation.told["requestBody"]["required"] != true
}

/// A text as it stands in a path or a query.
fn encoded(text: &str) -> String {
    text.bytes().take(2_000).fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Things of a tenant to ask about.
fn things_of(node: &Node, tenant: &Tenant, subscriber: &Subscriber, path: &str) -> Vec<String> {
    let made = tenant.webhook(&json!({ "url": subscriber.url(path), "events": ["*"] }));
    let accepted = tenant.event(campaign("campaign.created", "before"));
    let delivery = tenant.settled(&accepted, "delivered");
    let key = node.operator().post("/keys", r#"{"role": "producer"}"#).expect(201);
    let ids = [&made["id"], &accepted["id"], &delivery["id"], &key["id"]];
    ids.into_iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// As many requests as can be sent, whoever sends them.
const NO_RATES: [(&str, &str); 3] = [
    ("POSTHASTE_KEY_REQUESTS_PER_SECOND", "0"),
    ("POSTHASTE_PARTNER_REQUESTS_PER_SECOND", "0"),
    ("POSTHASTE_TESTS_PER_MINUTE", "0"),
];

#[test]
fn no_request_gets_more_or_less_than_what_is_told_of() {
    let seed = option("POSTHASTE_FUZZ_SEED", SEED);
    println!("POSTHASTE_FUZZ_SEED={seed}");
    let node = Node::start(&NO_RATES);
    let contract = Contract::of(&node);
    let subscriber = Subscriber::start();
    let (tenant, other) = (node.tenant("production"), node.tenant("sandbox"));
    let mut things = things_of(&node, &tenant, &subscriber, "/own");
    things.extend(things_of(&node, &other, &subscriber, "/other"));
    let this = node.operator().get("/nodes").expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    things.extend([this, "fuzzed.type".to_owned(), tenant.name.clone(), "start.js".to_owned()]);
    let for_all = node.operator().post("/keys", r#"{"role": "producer"}"#).expect(201);
    let callers = vec![
        node.operator(),
        node.operator(),
        tenant.partner.clone(),
        tenant.producer.clone(),
        node.client(for_all["key"].as_str().unwrap()),
        other.partner.clone(),
        node.nobody(),
        node.client("ph_unknown"),
    ];
    let make = Generator::new(&contract, seed, subscriber.url("/fuzzed"));
    let mut fuzzer = Fuzzer { contract: &contract, make, callers, things, partner: tenant.name.clone() };
    let operations = contract.operations();
    let (mut taken, mut refused) = (0, 0);
    let clock = Clock::system();
    let begun = clock.now().monotonic;
    for round in 0..option("POSTHASTE_FUZZ_REQUESTS", REQUESTS_EACH) {
        for operation in &operations {
            let request = fuzzer.request(operation);
            let told = || format!("seed {seed}, round {round}, {}:\n{}", operation.id, request.told());
            let Some(answer) = request.send() else { panic!("no answer to {}", told()) };
            if let Err(why) = contract.judge(operation, &answer) {
                panic!("{why}\n{}\n{} {}", told(), answer.status, answer.body);
            }
            let is_fault = answer.status >= 500 && !matches!(answer.status, 503 | 507);
            assert!(!is_fault, "{} {}\n{}", answer.status, answer.body, told());
            if answer.status < 400 {
                taken += 1;
                let wrong = request.is_wrong.as_ref();
                assert!(wrong.is_none(), "taken, though {wrong:?}:\n{}\n{}", told(), answer.body);
            } else {
                refused += 1;
            }
        }
    }
    let spent = clock.now().monotonic.since(begun);
    println!("{taken} taken, {refused} refused in {spent:?}");
    assert!(taken > operations.len() && refused > operations.len(), "{taken} taken, {refused} refused");

    // Whatever was braked, held or changed by then: the node does what it is for.
    for environment in ["sandbox", "production"] {
        let whole = format!("/brakes?environment={environment}&partner=*");
        assert!(matches!(node.operator().delete(&whole).status, 200 | 404));
    }
    assert_eq!(node.nobody().get("/readyz").status, 200);
    let tenant = node.tenant("production");
    let last = Subscriber::start();
    let body = json!({ "schema": { "type": "object" }, "example": { "event": "fuzzed.last" } }).to_string();
    node.operator().put("/event-types/fuzzed.last", &body);
    tenant.webhook(&json!({ "url": last.url("/last"), "events": ["fuzzed.*"] }));
    let accepted = tenant.event(r#"{"event": "fuzzed.last", "id": 1}"#);
    assert_eq!(last.next().webhook_id.as_deref(), accepted["id"].as_str());
    assert!(!node.log().contains("panicked"), "{}", node.log());
}
