//! Makes values by a schema of the document, and spoils them. Everything is drawn from one
//! seeded source, so that a run can be repeated.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::support::contract::Contract;

/// Texts that parsers, stores and logs have stumbled over.
const ODD_TEXTS: [&str; 24] = [
    "",
    " ",
    "\0",
    "a\0b",
    "null",
    "*",
    "a.*",
    "..",
    "../../etc/passwd",
    "-1",
    "1e999",
    "9223372036854775808",
    "é",
    "e\u{301}",
    "\u{202e}txt",
    "\u{feff}",
    "\u{fffd}",
    "\u{1f600}\u{200d}\u{1f468}",
    "\u{10ffff}",
    "\r\nx: y",
    "'; DROP TABLE events; --",
    "{\"a\":1}",
    "%00%ff%zz",
    "posthaste.endpoint.failing",
];

/// Deeper than this, what is made by itself is plain.
const DEEPEST: usize = 5;

pub struct Generator<'a> {
    pub random: Rng,
    contract: &'a Contract,
    /// The only place that a URL may lead to: nobody else's is ever made.
    receiver: String,
}

impl<'a> Generator<'a> {
    pub fn new(contract: &'a Contract, seed: u64, receiver: String) -> Self {
        Self { random: Rng::with_seed(seed), contract, receiver }
    }

    pub fn pick<'b, T>(&mut self, items: &'b [T]) -> &'b T {
        &items[self.random.usize(..items.len())]
    }

    /// Once in so many times.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.random.u32(..times) == 0
    }

    /// A value that fits, as far as a schema says so.
    pub fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if schema["$ref"] == "#/components/schemas/WebhookUrl" {
            return json!(format!("{}/{}", self.receiver, self.random.u32(..)));
        }
        let schema = self.contract.resolved(schema);
        if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let choice = self.pick(choices).clone();
            return self.value(&choice, depth);
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.pick(words).clone();
        }
        // What an example of an object says may name a URL that is not the receiver's.
        if let Some(examples) = schema["examples"].as_array().filter(|_| schema["properties"]["url"].is_null())
            && !self.one_in(3)
        {
            return self.pick(examples).clone();
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return self.anything(depth),
        };
        match *self.pick(&kinds) {
            "object" => self.object(schema, depth),
            "array" => {
                let least = schema["minItems"].as_u64().unwrap_or(0);
                let most = schema["maxItems"].as_u64().unwrap_or(4).min(least + 3);
                (0..self.random.u64(least..=most)).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            "integer" => json!(self.integer(schema)),
            "number" => json!(self.random.f64() * 3.0),
            "boolean" => json!(self.random.bool()),
            "null" => Value::Null,
            _ => json!(self.text(schema)),
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut fields = Map::new();
        let required =
            |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
        for (name, told) in schema["properties"].as_object().into_iter().flatten() {
            if required(name) || self.one_in(3) {
                fields.insert(name.clone(), self.value(told, depth + 1));
            }
        }
        if schema["additionalProperties"].is_object() && self.random.bool() {
            fields.insert(self.word(), self.value(&schema["additionalProperties"], depth + 1));
        } else if schema["additionalProperties"] == true && self.random.bool() {
            fields.insert(self.word(), self.anything(depth + 1));
        }
        Value::Object(fields)
    }

    /// Often a bound itself.
    fn integer(&mut self, schema: &Value) -> u64 {
        let (least, most) = (schema["minimum"].as_u64().unwrap_or(0), schema["maximum"].as_u64().unwrap_or(1_000));
        match self.random.u32(..3) {
            0 => least,
            1 => most,
            _ => self.random.u64(least..=most),
        }
    }

    fn text(&mut self, schema: &Value) -> String {
        let most = schema["maxLength"].as_u64().unwrap_or(40).min(5_000) as usize;
        if schema["maxLength"].is_u64() && self.one_in(4) {
            return "x".repeat(most);
        }
        let mut text = self.word();
        text.truncate(most);
        text
    }

    pub fn word(&mut self) -> String {
        (0..self.random.usize(1..12)).map(|_| self.random.lowercase()).collect()
    }

    fn anything(&mut self, depth: usize) -> Value {
        match self.random.u32(..if depth > DEEPEST { 5 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.random.bool()),
            2 => json!(self.random.i64(..)),
            3 => json!(self.random.f64() * 1e18),
            4 => json!(*self.pick(&ODD_TEXTS)),
            5 => (0..self.random.usize(..4)).map(|_| self.anything(depth + 1)).collect(),
            _ => {
                let fields = (0..self.random.usize(..4)).map(|_| (self.word(), self.anything(depth + 1)));
                Value::Object(fields.collect())
            }
        }
    }

    pub fn odd_text(&mut self) -> String {
        match self.random.u32(..8) {
            0 => "x".repeat(self.random.usize(1..5_000)),
            1 => self.random.char(..).to_string(),
            2 => "\u{1f600}".repeat(self.random.usize(1..600)),
            _ => (*self.pick(&ODD_TEXTS)).to_owned(),
        }
    }

    /// Spoils one place in a value, wherever it is.
    pub fn spoil(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && !self.one_in(4) => {
                let names: Vec<String> = fields.keys().cloned().collect();
                let name = self.pick(&names).clone();
                match self.random.u32(..6) {
                    0 => {
                        fields.remove(&name);
                    }
                    1 => {
                        let odd = self.odd_text();
                        fields.insert(odd, Value::Null);
                    }
                    _ => self.spoil(&mut fields[&name]),
                }
            }
            Value::Array(items) if !items.is_empty() && !self.one_in(4) => {
                let place = self.random.usize(..items.len());
                match self.random.u32(..4) {
                    0 => {
                        let copies = vec![items[place].clone(); self.random.usize(1..300)];
                        items.extend(copies);
                    }
                    _ => self.spoil(&mut items[place]),
                }
            }
            Value::Number(number) => {
                let odd = [
                    json!(-1),
                    json!(0),
                    json!(0.5),
                    json!(-0.0),
                    json!(1e300),
                    json!(u64::MAX),
                    json!(i64::MIN),
                    json!(number.as_f64().unwrap_or(0.0) + 1.0),
                    json!(number.as_u64().unwrap_or(0).saturating_add(1)),
                    json!(number.to_string()),
                    Value::Null,
                ];
                *value = self.pick(&odd).clone();
            }
            _ => {
                *value = match self.random.u32(..3) {
                    0 => json!(self.odd_text()),
                    _ => self.anything(0),
                }
            }
        }
    }

    /// A body's bytes, spoilt so that no JSON writer would have written them.
    pub fn spoil_bytes(&mut self, bytes: &mut Vec<u8>) {
        match self.random.u32(..9) {
            0 => bytes.clear(),
            1 => bytes.truncate(self.random.usize(..=bytes.len())),
            2 => bytes.push(0),
            3 => {
                let place = self.random.usize(..=bytes.len());
                bytes.insert(place, self.random.u8(..));
            }
            4 => bytes.splice(..0, *b"\xef\xbb\xbf").for_each(drop),
            5 => {
                let depth = self.random.usize(90..5_000);
                *bytes = [b"{\"url\":".as_slice(), &b"[".repeat(depth), &b"]".repeat(depth), b"}"].concat();
            }
            6 => bytes.splice(1.min(bytes.len())..1.min(bytes.len()), *b"\"event\":1,\"event\":2,").for_each(drop),
            7 => *bytes = format!("{{\"id\": {}}}", "9".repeat(self.random.usize(1..3_000))).into_bytes(),
            _ => *bytes = (0..self.random.usize(1..200)).map(|_| self.random.u8(..)).collect(),
        }
    }
}
