//! What is looked for, and in which forms it is found.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

/// What is looked for, by its name.
#[derive(Default)]
pub struct Canaries(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Canaries {
    pub fn add(&mut self, name: &'static str, text: &str) {
        let mut forms = forms(text.as_bytes());
        // What it is in base64 of, as a key is.
        for part in text.split([':', '_']) {
            if let Ok(bytes) = BASE64_STANDARD.decode(part)
                && bytes.len() >= 24
            {
                forms.extend(self::forms(&bytes));
                forms.push(part.as_bytes().to_vec());
            }
        }
        // What a header has behind its scheme.
        if let Some((_, token)) = text.split_once(' ') {
            forms.extend(self::forms(token.as_bytes()));
        }
        self.0.entry(name).or_default().extend(forms);
    }

    /// Those that are in there.
    pub fn found_in(&self, haystack: &[u8]) -> Vec<&'static str> {
        let is_in = |form: &Vec<u8>| haystack.windows(form.len()).any(|window| window == form.as_slice());
        self.0.iter().filter(|(_, forms)| forms.iter().any(is_in)).map(|(name, _)| *name).collect()
    }
}

/// Bytes as they are, in hexadecimal, and in base64 wherever in the text they begin.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![bytes.to_vec()];
    forms.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
    for skipped in 0..3 {
        let rest = &bytes[skipped..];
        forms.push(BASE64_STANDARD_NO_PAD.encode(&rest[..rest.len() / 3 * 3]).into_bytes());
    }
    forms
}

#[test]
fn a_canary_is_found_in_every_form() {
    let (token, bytes) = ("canary-token-7d793037a0760186", *b"canary-canary-canary-canary-cana");
    let key = BASE64_STANDARD.encode(bytes);
    let mut canaries = Canaries::default();
    canaries.add("header", "Bearer canary-token-7d793037a0760186");
    canaries.add("encryption key", &format!("canary:{key}"));
    for before in ["", "a", "ab", "abc"] {
        for (text, name) in [(token.as_bytes(), "header"), (bytes.as_slice(), "encryption key")] {
            let text = [before.as_bytes(), text, b"c"].concat();
            assert_eq!(canaries.found_in(&text), [name]);
            assert_eq!(canaries.found_in(BASE64_STANDARD.encode(&text).as_bytes()), [name], "after {before}");
        }
    }
    assert_eq!(canaries.found_in(&token.as_bytes()[1..]), [""; 0]);
}
