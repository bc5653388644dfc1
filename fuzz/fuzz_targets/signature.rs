//! Signatures as a receiver gets them: nobody but the secret's holder makes one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use posthaste::policy::signature::{SigningSecret, sign, verify};

fuzz_target!(|input: (&str, &str, &str, &[u8], i64)| {
    let (id, stamp, header, body, now) = input;
    let secret = SigningSecret::from_key(&[7; 32]).expect("a key of a good length");
    assert!(verify(std::slice::from_ref(&secret), id, stamp, header, body, now).is_err(), "it was forged");
    let seconds = now.clamp(0, 1 << 40);
    let signed = sign(std::slice::from_ref(&secret), "evt_1", seconds, body);
    assert!(verify(&[secret], "evt_1", &seconds.to_string(), &signed, body, seconds).is_ok());
    let _ = SigningSecret::parse(header);
});
