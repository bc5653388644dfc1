//! Code that receives webhooks, for whoever has just made an endpoint: what checks a
//! signature is quoted from `docs/receivers`, which is tested as it stands there, and a
//! server of a few lines is put around it, with the endpoint's secret and path filled in.
//! Pure.

/// A language.
pub struct Language {
    /// What people call it.
    pub name: &'static str,
    /// What is in `docs/receivers`.
    verifying: &'static str,
    /// What is around it.
    server: &'static str,
    /// How texts are quoted.
    quote: char,
}

/// Where the quoted part of a file begins and ends.
const BEGIN: &str = "Quoted in docs/receiving.md: begin";
const END: &str = "Quoted in docs/receiving.md: end";

macro_rules! language {
    ($name:literal, $verifying:literal, $server:literal, $quote:literal) => {
        Language {
            name: $name,
            verifying: include_str!(concat!("../../docs/receivers/", $verifying)),
            server: include_str!(concat!("assets/receivers/", $server)),
            quote: $quote,
        }
    };
}

/// All of them.
pub const LANGUAGES: [Language; 5] = [
    language!("Node", "receiver.js", "server.js", '"'),
    language!("Python", "receiver.py", "server.py", '"'),
    language!("Go", "receiver.go", "server.go", '"'),
    language!("PHP", "receiver.php", "server.php", '\''),
    language!("Java", "Receiver.java", "Server.java", '"'),
];

impl Language {
    /// A whole program for an endpoint of this URL, that checks with this secret, or public
    /// key.
    pub fn program(&self, secret: &str, url: &str) -> String {
        let path = url::Url::parse(url).map_or_else(
            |_| "/".to_owned(),
            |url| format!("{}{}", url.path(), url.query().map(|query| format!("?{query}")).unwrap_or_default()),
        );
        self.server
            .replace("__VERIFY__", &format!("{}\n", self.quoted()))
            .replace("__SECRET__", &self.literal(secret))
            .replace("__PATH__", &self.literal(&path))
    }

    fn quoted(&self) -> &'static str {
        let from_begin = self.verifying.split_once(BEGIN).and_then(|(_, rest)| rest.split_once('\n'));
        let (_, rest) = from_begin.expect("a test reads each file");
        let (quoted, _) = rest.split_once(END).expect("a test reads each file");
        // The last line is the beginning of the remark that says where it ends.
        quoted.rsplit_once('\n').map_or("", |(quoted, _)| quoted).trim_matches('\n')
    }

    /// A text between this language's quotes.
    fn literal(&self, text: &str) -> String {
        let mut literal = String::with_capacity(text.len());
        for character in text.chars().filter(|character| !character.is_control()) {
            if character == '\\' || character == self.quote {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_whole_program() {
        for language in &LANGUAGES {
            let program = language.program("whsec_c2VjcmV0", "https://a.example/ho'oks/in?tenant=7");
            assert!(program.contains("whsec_c2VjcmV0"), "{}", language.name);
            for left in ["__VERIFY__", "__SECRET__", "__PATH__", "Quoted in"] {
                assert!(!program.contains(left), "{left} in {}", language.name);
            }
            assert!(program.contains("webhook-signature"), "{program}");
            let path = if language.quote == '\'' { r"'/ho\'oks/in?tenant=7'" } else { "\"/ho'oks/in?tenant=7\"" };
            assert!(program.contains(path), "{program}");
        }
    }

    #[test]
    fn nothing_ends_a_quote_early() {
        for language in &LANGUAGES {
            let literal = language.literal("a\"b'c\\d\ne");
            let mut escaped = false;
            for character in literal.chars() {
                assert!(escaped || character != language.quote, "{}: {literal}", language.name);
                escaped = !escaped && character == '\\';
            }
            assert!(!escaped && !literal.contains('\n'));
        }
    }
}
