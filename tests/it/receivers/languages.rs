//! The receiver code of `docs/receivers`, run as the programs that they are,
//! in every language that the machine has; and the page, which quotes them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use posthaste::clock::Clock;

use super::{Case, installed, not_tested, pair, plain_cases, secret};
use crate::support::folder::Folder;

const BEGIN: &str = "Quoted in docs/receiving.md: begin";
const END: &str = "Quoted in docs/receiving.md: end";

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(path)
}

fn receiver(file: &str) -> String {
    docs("receivers").join(file).to_str().unwrap().to_owned()
}

/// How a receiver's program is started.
struct Program {
    words: Vec<String>,
    knows_key_pairs: bool,
}

impl Program {
    fn new(words: &[&str], knows_key_pairs: bool) -> Self {
        Self { words: words.iter().map(ToString::to_string).collect(), knows_key_pairs }
    }

    fn verify(&self, case: &Case) -> Output {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(["verify", &case.id, &case.timestamp, &case.signatures]);
        command.env("WEBHOOK_SECRETS", case.secrets.join(" "));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(&case.body).unwrap();
        process.wait_with_output().unwrap()
    }
}

/// Whether this can be run and succeeds.
fn works(command: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(command);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Compiles; a compiler that is there has to succeed.
fn compile(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What only the code of the page is asked.
fn cases(now: i64) -> Vec<Case> {
    const BODY: &[u8] = b"{}";
    let signed = |name, keys: &[_]| Case::signed(name, keys, now, BODY);
    let good = signed("", &[secret(1)]);
    let mut cases = plain_cases(now);
    cases.extend([
        Case::signed("a body that is no text", &[secret(1)], now, b"\xff\xfe\0{}\r\n\x80"),
        Case::signed("no body", &[secret(1)], now, b""),
        signed("several secrets, the last fits", &[secret(1)]).with(&[&secret(3), &pair(3), &secret(1)]),
        signed("no secret fits", &[secret(1)]).with(&[&secret(3), &secret(4)]).bad(),
        Case { name: "a code that is cut", signatures: good.signatures[..40].to_owned(), ..good.clone() }.bad(),
        Case { name: "no code", signatures: "v1, v1,= v1".to_owned(), ..good.clone() }.bad(),
        Case { name: "no signature", signatures: String::new(), ..good.clone() }.bad(),
        Case { name: "no number", timestamp: format!("{now}.0"), ..good.clone() }.bad(),
        Case { name: "a number of another kind", timestamp: "\u{661}\u{662}".to_owned(), ..good.clone() }.bad(),
        Case { name: "a line end behind the number", timestamp: format!("{now}\n"), ..good.clone() }.bad(),
        Case {
            name: "a dot in the id",
            id: format!("{}.{now}", good.id),
            signatures: Case::signed("", &[secret(1)], now, format!("{now}.{{}}").as_bytes()).signatures,
            ..good
        }
        .bad(),
    ]);
    cases
}

/// What those are asked that know key pairs.
fn cases_of_key_pairs(now: i64) -> Vec<Case> {
    let signed = |name, keys: &[_]| Case::signed(name, keys, now, b"{\"a\":\"\xc3\xa9\xff\"}");
    let good = signed("", &[pair(1)]);
    vec![
        signed("a key pair", &[pair(1)]),
        signed("a rotation to v1a, the public key", &[pair(1), secret(1)]),
        signed("a rotation of key pairs", &[pair(2), pair(1)]).with(&[&pair(1)]),
        signed("both kinds at hand", &[pair(1)]).with(&[&secret(1), &pair(2), &pair(1)]),
        signed("another public key", &[pair(1)]).with(&[&pair(2)]).bad(),
        signed("a secret's signature alone", &[secret(1)]).with(&[&pair(1)]).bad(),
        Case { name: "another body, by a key pair", body: b"{}".to_vec(), ..good.clone() }.bad(),
        Case { name: "a signature called v1", signatures: good.signatures.replace("v1a,", "v1,"), ..good.clone() }
            .bad(),
        Case { name: "a signature that is cut", signatures: good.signatures[..60].to_owned(), ..good.clone() }.bad(),
        Case { name: "no signature at all", signatures: "v1a, v1a,= v1a".to_owned(), ..good }.bad(),
    ]
}

fn check(language: &str, program: Option<Program>) {
    let Some(program) = program else {
        return not_tested(&format!("docs/receivers, {language}"), "it is not on this machine");
    };
    let now = || Clock::system().wall().as_seconds();
    let mut cases = cases(now());
    if program.knows_key_pairs {
        cases.extend(cases_of_key_pairs(now()));
    } else {
        not_tested(&format!("docs/receivers, {language}, v1a"), "what it needs for ed25519 is not on this machine");
    }
    for case in cases {
        let Output { status, stdout, stderr } = program.verify(&case);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        let told = format!("{language}, {}: {status}, {stdout}, {stderr}", case.name);
        if case.is_good {
            assert!(status.success() && stdout.trim() == "valid", "{told}");
        } else {
            // It refused, and did not fall over.
            assert!(status.code() == Some(1) && stderr.starts_with("not valid: "), "{told}");
        }
    }
}

#[test]
fn python() {
    let own = installed("python/bin/python");
    let python = if own.exists() { own.to_str().unwrap().to_owned() } else { "python3".to_owned() };
    let knows_key_pairs = works(&python, &["-c", "import cryptography"]);
    let is_there = works(&python, &["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]);
    check("Python", is_there.then(|| Program::new(&[&python, &receiver("receiver.py")], knows_key_pairs)));
}

#[test]
fn javascript() {
    let is_there = works("node", &["--version"]);
    check("JavaScript", is_there.then(|| Program::new(&["node", &receiver("receiver.js")], true)));
}

#[test]
fn java() {
    let folder = Folder::new();
    let classes = folder.path().to_str().unwrap();
    let is_there = works("javac", &["--version"]) && works("java", &["--version"]);
    let program = is_there.then(|| {
        compile(Command::new("javac").args(["-Xlint:all", "-Werror", "-d", classes, &receiver("Receiver.java")]));
        Program::new(&["java", "-XX:TieredStopAtLevel=1", "-cp", classes, "Receiver"], true)
    });
    check("Java", program);
}

#[test]
fn go() {
    let folder = Folder::new();
    let binary = folder.file("receiver");
    let program = works("go", &["version"]).then(|| {
        let mut build = Command::new("go");
        build.arg("build").arg("-o").arg(&binary).arg(receiver("receiver.go")).current_dir(folder.path());
        compile(build.env("GOCACHE", folder.file("cache")).env("GO111MODULE", "off"));
        Program::new(&[binary.to_str().unwrap()], true)
    });
    check("Go", program);
}

#[test]
fn php() {
    let is_there = works("php", &["-r", "exit(PHP_MAJOR_VERSION < 8 ? 1 : 0);"]);
    let knows_key_pairs = works("php", &["-r", "exit(function_exists('sodium_crypto_sign_verify_detached') ? 0 : 1);"]);
    check("PHP", is_there.then(|| Program::new(&["php", &receiver("receiver.php")], knows_key_pairs)));
}

#[test]
fn the_page_quotes_the_files() {
    let page = fs::read_to_string(docs("receiving.md")).unwrap();
    for (language, file) in [
        ("python", "receiver.py"),
        ("js", "receiver.js"),
        ("java", "Receiver.java"),
        ("go", "receiver.go"),
        ("php", "receiver.php"),
    ] {
        let code = fs::read_to_string(receiver(file)).unwrap();
        let from = code.find(BEGIN).unwrap() + BEGIN.len();
        let quoted = &code[from..code.find(END).unwrap()];
        // Without the comment that ends the part, and without what all lines are set in by.
        let lines: Vec<&str> = quoted.lines().skip(1).collect();
        let lines = &lines[..lines.len() - 1];
        let indent = |line: &&str| line.len() - line.trim_start().len();
        let set_in = lines.iter().filter(|line| !line.is_empty()).map(indent).min().unwrap();
        let central: Vec<&str> = lines.iter().map(|line| line.get(set_in..).unwrap_or_default()).collect();
        let block = format!("```{language}\n{}\n```\n", central.join("\n").trim());
        assert!(
            page.contains(&block),
            "docs/receiving.md does not quote docs/receivers/{file}; it should have\n{block}"
        );
        assert!(page.contains(&format!("(receivers/{file})")), "the page links the whole of {file}");
    }
}
