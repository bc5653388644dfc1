//! Which subscriptions want an event, by the name of its type alone. Whose
//! event it is, and which subscriptions were in force, is the store's to say.

use crate::domain::{EventType, TypePattern};

/// Whether an endpoint that subscribes with these patterns gets events of this
/// type. One pattern that covers it is enough.
pub fn wants(patterns: &[TypePattern], event_type: &EventType) -> bool {
    patterns.iter().any(|pattern| covers(pattern, event_type))
}

/// Whether a pattern includes a type.
///
/// `*` leaves out Posthaste's events about itself: whoever asked for
/// everything meant the partner's own events, and an event about a failing
/// endpoint, sent to that endpoint, would only fail again. `posthaste.*`, or
/// the type's exact name, asks for them.
pub fn covers(pattern: &TypePattern, event_type: &EventType) -> bool {
    match pattern {
        TypePattern::Any => !event_type.is_system(),
        // The prefix ends in its dot, so `campaign.*` takes neither `campaign`
        // nor `campaigns.updated`.
        TypePattern::Below(prefix) => event_type.as_str().starts_with(&**prefix),
        TypePattern::Exactly(name) => name == event_type,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(patterns: &[&str], event_type: &str, expected: bool) {
        let parsed: Vec<TypePattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(wants(&parsed, &event_type.parse().unwrap()), expected, "{patterns:?} and {event_type}");
    }

    #[test]
    fn patterns_cover_what_they_say() {
        check(&["campaign.updated"], "campaign.updated", true);
        check(&["campaign.updated"], "campaign.updated.twice", false);
        check(&["campaign.updated"], "campaign", false);
        check(&["campaign.*"], "campaign.updated", true);
        check(&["campaign.*"], "campaign.budget.changed", true);
        check(&["campaign.*"], "campaign", false);
        check(&["campaign.*"], "campaigns.updated", false);
        check(&["campaign.budget.*"], "campaign.updated", false);
        check(&["*"], "screenshot_set.approved", true);
        check(&["campaign.created", "screenshot_set.*"], "screenshot_set.approved", true);
        check(&["campaign.created", "campaign.failed"], "campaign.updated", false);
        check(&[], "campaign.updated", false);
    }

    #[test]
    fn system_events_must_be_asked_for() {
        check(&["*"], "posthaste.endpoint.disabled", false);
        check(&["*", "campaign.*"], "posthaste.endpoint.disabled", false);
        check(&["posthaste.*"], "posthaste.endpoint.disabled", true);
        check(&["posthaste.endpoint.disabled"], "posthaste.endpoint.disabled", true);
        check(&["*", "posthaste.*"], "posthaste.endpoint.disabled", true);
        check(&["*"], "posthaste", true);
        check(&["*"], "posthastened.slowly", true);
    }

    /// Few and short words, so that names often share their beginnings.
    fn names() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof!["posthaste", "a", "b", "ab", "a-"], 1..5).prop_map(|words| words.join("."))
    }

    fn patterns() -> impl Strategy<Value = String> {
        prop_oneof![Just("*".to_owned()), names(), names().prop_map(|name| format!("{name}.*"))]
    }

    proptest! {
        #[test]
        fn a_pattern_covers_word_by_word(pattern in patterns(), name in names()) {
            let words: Vec<&str> = name.split('.').collect();
            let expected = match pattern.strip_suffix(".*") {
                None if pattern == "*" => words[0] != "posthaste" || words.len() == 1,
                None => pattern == name,
                Some(prefix) => {
                    let prefix: Vec<&str> = prefix.split('.').collect();
                    words.len() > prefix.len() && words.starts_with(&prefix)
                }
            };
            prop_assert_eq!(covers(&pattern.parse().unwrap(), &name.parse().unwrap()), expected);
        }

        #[test]
        fn wanting_is_any_pattern_in_any_order(patterns in prop::collection::vec(patterns(), 0..6), name in names()) {
            let name: EventType = name.parse().unwrap();
            let mut parsed: Vec<TypePattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
            let expected = parsed.iter().any(|pattern| covers(pattern, &name));
            prop_assert_eq!(wants(&parsed, &name), expected);
            parsed.reverse();
            prop_assert_eq!(wants(&parsed, &name), expected);
        }
    }
}
