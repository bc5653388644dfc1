//! `posthaste verify` as the developer of a receiver runs it: what it reads,
//! what it answers, and what it never prints.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use posthaste::policy::signature::{KeyPair, SigningKey, SigningSecret, sign};

use crate::support::folder::Folder;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka";
const ID: &str = "evt_1";
const SECONDS: i64 = 1_700_000_000;
const BODY: &str = r#"{"event":"campaign.updated","id":"c-1"}"#;

fn secret() -> SigningKey {
    SigningSecret::parse(SECRET).unwrap().into()
}

fn pair() -> KeyPair {
    KeyPair::from_seed(&std::array::from_fn(|index| index as u8))
}

/// What one run came to.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    errors: String,
}

/// Runs it with nothing of our own environment but these variables.
fn run(arguments: &[&str], variables: &[(&str, &str)], body: &[u8]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posthaste"));
    command.arg("verify").args(arguments).env_clear().envs(variables.iter().copied());
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have found its arguments wanting before it reads.
    let _ = process.stdin.take().unwrap().write_all(body);
    let output = process.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { code: output.status.code().unwrap(), out: text(output.stdout), errors: text(output.stderr) };
    for secret in [SECRET, OTHER_SECRET, &pair().reveal()] {
        assert!(!run.out.contains(secret) && !run.errors.contains(secret), "it prints a secret: {run:?}");
    }
    run
}

/// The flags of a message that these sign, judged 12 s after.
fn flags(keys: &[SigningKey]) -> Vec<String> {
    let signature = sign(keys, ID, SECONDS, BODY.as_bytes());
    let at = (SECONDS + 12).to_string();
    ["--id", ID, "--timestamp", &SECONDS.to_string(), "--signature", &signature, "--at", &at].map(str::to_owned).into()
}

fn words<'a>(flags: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    flags.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn a_good_signature_is_exit_code_0_by_flag_by_variable_and_by_key() {
    let flags = flags(&[pair().into(), secret()]);
    let public = pair().public_key().to_string();
    let body = BODY.as_bytes();
    let by_flag = run(&words(&flags, &["--secret", SECRET]), &[], body);
    assert_eq!((by_flag.code, by_flag.out.as_str()), (0, "valid: signed by v1 12 s ago\n"), "{by_flag:?}");
    let by_variable = run(&words(&flags, &[]), &[("POSTHASTE_SECRET", &format!("{OTHER_SECRET} {SECRET}"))], body);
    assert_eq!(by_variable.out, "valid: signed by v1 12 s ago, with key 2 of 2\n", "{by_variable:?}");
    let by_key = run(&words(&flags, &["--public-key", &public]), &[], body);
    assert_eq!(by_key.out, "valid: signed by v1a 12 s ago\n", "{by_key:?}");
    let key_in_variable = run(&words(&flags, &[]), &[("POSTHASTE_SECRET", &public)], body);
    assert_eq!(key_in_variable.out, "valid: signed by v1a 12 s ago\n", "{key_in_variable:?}");
    let several = run(&words(&flags, &["--secret", OTHER_SECRET, "--secret", SECRET]), &[], body);
    assert_eq!(several.out, "valid: signed by v1 12 s ago, with key 2 of 2\n", "{several:?}");
}

#[test]
fn headers_and_body_come_from_files_as_they_are() {
    let folder = Folder::new();
    let [headers, body] = ["headers.txt", "body.json"].map(|name| folder.file(name));
    let bytes = b"\xff\0not text\r\n";
    let signature = sign([&secret()], ID, SECONDS, bytes);
    let lines = format!(
        "POST /hook HTTP/1.1\r\nHost: a.example\r\nWebhook-Id: {ID}\r\nWEBHOOK-TIMESTAMP: {SECONDS}\r\n\
         webhook-signature: {signature}\r\n\r\n"
    );
    fs::write(&headers, &lines).unwrap();
    fs::write(&body, bytes).unwrap();
    let [headers, body] = [headers.to_str().unwrap(), body.to_str().unwrap()];
    let variables = [("POSTHASTE_SECRET", SECRET)];
    let at = ["--at", "2023-11-14T22:13:25Z"];
    let both = run(&["--headers", headers, "--body", body, at[0], at[1]], &variables, b"");
    assert_eq!((both.code, both.out.as_str()), (0, "valid: signed by v1 5 s ago\n"), "{both:?}");
    let piped = run(&["--headers", "-", "--body", body, at[0], at[1]], &variables, lines.as_bytes());
    assert_eq!(piped.code, 0, "{piped:?}");
    // A flag comes before the file.
    let overruled = run(&["--headers", headers, "--body", body, at[0], at[1], "--id", "evt_2"], &variables, b"");
    assert_eq!(overruled.code, 1, "{overruled:?}");
    let twice = run(&["--headers", "-", "--body", "-"], &variables, b"");
    assert!(twice.errors.contains("standard input cannot be the headers and the body"), "{twice:?}");
    fs::write(folder.file("whole.txt"), format!("{lines}{{}}")).unwrap();
    let whole = run(&["--headers", folder.file("whole.txt").to_str().unwrap()], &variables, b"");
    assert!(whole.errors.contains("line 7 comes after an empty line: only headers belong there"), "{whole:?}");
    let missing = run(&["--headers", "/nowhere/headers.txt"], &variables, b"");
    assert!(missing.errors.contains("cannot read /nowhere/headers.txt: No such file"), "{missing:?}");
    for run in [twice, whole, missing] {
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
    }
}

#[test]
fn a_bad_signature_is_exit_code_1_with_the_reason() {
    let flags = flags(&[secret()]);
    let own = ["--secret", SECRET];
    let public = pair().public_key().to_string();
    let line = format!("{BODY}\n");
    for (more, body, reason) in [
        (&own[..], line.as_str(), "not valid: the signature fits the body without the line end at its end"),
        (&own, r#"{"event": "campaign.updated", "id": "c-1"}"#, "parsed it and written it again"),
        (&["--secret", OTHER_SECRET], BODY, "either this is not the endpoint's secret or key"),
        (&["--public-key", &public], BODY, "signed by v1 alone: verify with the endpoint's secret"),
    ] {
        let run = run(&words(&flags, more), &[], body.as_bytes());
        assert!(run.code == 1 && run.out.is_empty() && run.errors.contains(reason), "{reason}: {run:?}");
    }
    // By the clock of this machine it is years old.
    let undated: Vec<&str> = words(&flags[..6], &own);
    let old = run(&undated, &[], BODY.as_bytes());
    assert!(old.code == 1 && old.errors.contains("300 s are allowed: perhaps it is a replay"), "{old:?}");
    assert!(old.errors.contains("the signature itself fits"), "{old:?}");
    let ignored = run(&[undated.as_slice(), &["--ignore-age"]].concat(), &[], BODY.as_bytes());
    assert!(ignored.code == 0 && ignored.out.ends_with(" s ago; the age was not judged\n"), "{ignored:?}");
    let early = run(&[undated.as_slice(), &["--at", "1699999000"]].concat(), &[], BODY.as_bytes());
    assert!(early.code == 1 && early.errors.contains("signed 1000 s ahead of the clock"), "{early:?}");
}

#[test]
fn what_it_cannot_use_is_named_and_no_secret_repeated() {
    let flags = flags(&[secret()]);
    let private = pair().reveal();
    for (arguments, reason) in [
        (words(&flags, &[]), "nothing to verify with: give `--secret` or `--public-key`, or set POSTHASTE_SECRET"),
        (
            words(&flags, &["--secret", SECRET, "--secret", "hunter2"]),
            "secret 2 cannot be used: a signing secret begins",
        ),
        (words(&flags, &["--secret", &private]), "secret 1 cannot be used: this is a key pair"),
        (words(&flags, &["--public-key", SECRET]), "public key 1 cannot be used: a public key begins with `whpk_`"),
        (words(&flags[2..], &["--secret", SECRET]), "the header `webhook-id` is missing: give `--id`, or `--headers`"),
        (words(&flags[..6], &["--secret", SECRET, "--at", "noon"]), "`--at` takes seconds since 1970, or a time like"),
    ] {
        let run = run(&arguments, &[], BODY.as_bytes());
        assert!(run.code == 1 && run.errors.contains(reason) && !run.errors.contains("hunter2"), "{reason}: {run:?}");
    }
    let help = run(&["--help"], &[("POSTHASTE_SECRET", SECRET)], b"");
    assert!(help.code == 0 && help.out.contains("Flags show in the list of processes"), "{help:?}");
}

#[test]
fn an_explanation_shows_what_was_signed() {
    let flags = flags(&[secret()]);
    let body = b"{\"a\":\"\x1b[2J\xff\"}";
    let explained = run(&words(&flags, &["--secret", SECRET, "--explain"]), &[], body);
    assert_eq!(explained.code, 1, "{explained:?}");
    // The hashes are of `sha256sum`.
    let expected = "signed      30 bytes: webhook-id (5), a dot, webhook-timestamp (10), a dot, body (13)\n\
                    begins      evt_1.1700000000.{\"a\":\"\\x1b[2J\\xff\"}\n\
                    sha256      ff53f77672a48d7fa8484e63c30781c258a49b800686b0853ecad13a3cf7fe41 of all that\n\
                    body        fb397261b4f2c42c5a3738ca9ed923a946edc9f2a29c844d5df1160eed6becc9 is its sha256\n\
                    signatures  v1\n\
                    keys        v1\n";
    assert_eq!(explained.out, expected);
}
