//! What of a receiver's answer is not kept: the secrets that it was told, or shares with
//! us. A page that shows the request it got, as frameworks do when they are debugged,
//! would otherwise put them in the clear where everything else about them is sealed.
//!
//! Only what stands there letter for letter is found. A receiver that wants to publish
//! its own secrets in another form can.

/// What is shorter than this is found in many an answer, and no secret.
pub const SHORTEST_BYTES: usize = 8;

/// What stands in place of each byte.
const MASK: u8 = b'*';

/// The texts that are not kept.
#[derive(Clone, Default)]
pub struct Masks(Vec<Box<[u8]>>);

impl Masks {
    /// For the values of these headers and these signing secrets: each whole, what a
    /// header has behind its scheme (`Bearer …`), and a secret without its prefix.
    pub fn new<'a>(headers: impl IntoIterator<Item = &'a str>, secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let headers = headers.into_iter().map(|value| (value, value.split_once(' ').map(|(_, rest)| rest)));
        let secrets = secrets.into_iter().map(|secret| (secret, secret.split_once('_').map(|(_, rest)| rest)));
        let mut texts: Vec<&str> =
            headers.chain(secrets).flat_map(|(whole, part)| [Some(whole), part]).flatten().collect();
        texts.retain(|text| text.len() >= SHORTEST_BYTES);
        // A part is not to be found before the whole is.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts.into_iter().map(|text| text.as_bytes().into()).collect())
    }

    /// The answer without them, as long as it was; `None` where it has none. An answer
    /// that was cut off may end with the beginning of one.
    pub fn over(&self, answer: &[u8]) -> Option<Vec<u8>> {
        let mut masked: Option<Vec<u8>> = None;
        for text in &self.0 {
            let mut from = 0;
            loop {
                let seen = masked.as_deref().unwrap_or(answer);
                let Some((begin, end)) = find(seen, text, from) else { break };
                masked.get_or_insert_with(|| answer.to_vec())[begin..end].fill(MASK);
                from = end;
            }
        }
        masked
    }
}

/// Where the text stands next, or how much of its beginning ends the answer.
fn find(answer: &[u8], text: &[u8], from: usize) -> Option<(usize, usize)> {
    let first = *text.first()?;
    let rest = answer.get(from..)?;
    for (place, _) in rest.iter().enumerate().filter(|(_, byte)| **byte == first) {
        let here = &rest[place..];
        let begins = if here.len() < text.len() { text.starts_with(here) } else { here.starts_with(text) };
        if begins && here.len() >= SHORTEST_BYTES {
            return Some((from + place, from + place + here.len().min(text.len())));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(headers: &[&str], secrets: &[&str], answer: &str) -> String {
        let over = Masks::new(headers.iter().copied(), secrets.iter().copied()).over(answer.as_bytes());
        String::from_utf8(over.unwrap_or_else(|| answer.into())).expect("a mask is ASCII")
    }

    #[test]
    fn what_is_secret_is_masked_wherever_it_stands() {
        assert_eq!(masked(&["s3cret-token"], &[], "a s3cret-token, s3cret-token"), "a ************, ************");
        assert_eq!(
            masked(&["Bearer s3cret-token"], &[], "{\"token\":\"s3cret-token\"}"),
            "{\"token\":\"************\"}"
        );
        assert_eq!(masked(&["Bearer s3cret-token"], &[], "Bearer s3cret-token"), "*******************");
        assert_eq!(masked(&[], &["whsec_MfKQ9r8G"], "MfKQ9r8G whsec_MfKQ9r8G"), "******** **************");
        assert_eq!(masked(&["s3s3s3s3-token"], &[], "s3s3s3s3s3s3-token"), "s3s3**************");
    }

    #[test]
    fn what_is_not_stays_as_it_is() {
        assert_eq!(masked(&["true", "a b", "Basic x"], &[], "true: a b x"), "true: a b x");
        assert!(Masks::new(["s3cret-token"], []).over(b"s3cret-taken, and s3cret").is_none());
        assert!(Masks::default().over(b"anything").is_none());
        assert!(Masks::new(["s3cret-token"], []).over(b"").is_none());
    }

    #[test]
    fn an_answer_that_ends_in_the_middle_of_one_does_not_show_it() {
        assert_eq!(masked(&["s3cret-token"], &[], "so s3cret-t"), "so ********");
        // That little is of no use.
        assert_eq!(masked(&["s3cret-token"], &[], "so s3cret-"), "so s3cret-");
    }

    proptest! {
        #[test]
        fn no_answer_shows_a_secret_and_none_changes_its_length(
            secret in "[ab]{8,12}", other in "[ab]{8,10}", before in "[abc]{0,12}", after in "[abc]{0,12}",
        ) {
            let answer = format!("{before}{secret}{after}{other}");
            let over = Masks::new([secret.as_str(), other.as_str()], []).over(answer.as_bytes()).expect("they are there");
            prop_assert_eq!(over.len(), answer.len());
            for text in [&secret, &other] {
                prop_assert!(!over.windows(text.len()).any(|window| window == text.as_bytes()));
            }
        }
    }
}
