//! What is done to all that matches a list's filters is looked at first, on a page of its
//! own: how many, of when, some of them, what will happen. Its address or its form holds up to
//! when things count, so that what comes later is no part of it. A press does so much
//! at most, and leads on to the same page for the rest.

use maud::{Markup, html};

use crate::dashboard::form::Form;
use crate::dashboard::frame::{self, Page};
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{bulk, head};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::At;
use crate::dashboard::words;
use crate::domain::Timestamp;

/// So many are counted one by one.
pub const COUNTED: u64 = bulk::TYPED_ABOVE;
/// And so many pages of a list are read for it at most, where few of them fit.
pub const PAGES_MAX: usize = 24;
/// Things that are shown.
pub const SAMPLES: usize = 5;

/// How many there are of something, and of when.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub count: u64,
    pub is_more: bool,
    span: Option<(At, At)>,
}

impl Counted {
    /// One more, made at that time.
    pub fn add(&mut self, made: At) {
        self.count += 1;
        let (oldest, newest) = self.span.unwrap_or((made, made));
        self.span = Some((oldest.min(made), newest.max(made)));
    }

    /// What goes beyond what is counted one by one is more, however many: so the number that
    /// is typed stays what it is while what it counts goes on changing.
    pub fn capped(mut self) -> Self {
        if self.count > COUNTED {
            (self.count, self.is_more) = (COUNTED, true);
        }
        self
    }

    /// The number that must be typed before it is done to so many. It is counted anew when the
    /// form comes: what a form says of itself is no reason to believe it.
    pub fn typed(&self) -> Option<u64> {
        (self.count > 0 && (self.is_more || self.count > bulk::TYPED_ABOVE)).then_some(self.count)
    }

    /// Whether none was found as far as was looked, and there is more.
    pub fn is_not_found_yet(&self) -> bool {
        self.count == 0 && self.is_more
    }

    /// `3 deliveries`, `1,000+ deliveries`.
    pub fn said(&self, nouns: (&str, &str)) -> String {
        words::of_these(self.count, self.is_more, nouns)
    }

    /// When they were made.
    pub fn span(&self, visitor: &Visitor) -> Markup {
        html! {
            @if let Some((oldest, newest)) = self.span {
                dt { "Made" }
                dd {
                    @if self.is_more { (words::time(newest.0, visitor.now)) ", and before: " (words::absolute(newest.0)) " back to " (words::absolute(oldest.0)) " and further" }
                    @else {
                        (words::time(oldest.0, visitor.now)) " to " (words::time(newest.0, visitor.now))
                        span.muted { " · " (words::absolute(oldest.0)) " to " (words::absolute(newest.0)) }
                    }
                }
            }
        }
    }
}

/// What such a page says.
pub struct Look<'a> {
    pub title: &'a str,
    /// The list that one came from.
    pub list: String,
    pub sentence: Markup,
    /// Terms and what they are.
    pub facts: Markup,
    /// Where its button is sent to, and what stands on it; without, there is nothing to do.
    pub press: Option<(String, String)>,
    pub meant: &'a Counted,
    /// What stands below.
    pub samples: Markup,
}

impl Look<'_> {
    pub fn page(self, visitor: &Visitor) -> Page {
        let Self { title, list, sentence, facts, press, meant, samples } = self;
        let body = html! {
            (head(title, html! { a href=(list) { "To the list" } }))
            section.panel {
                p.sentence { (sentence) }
                dl.facts { (facts) (meant.span(visitor)) }
                @if let Some((to, label)) = press {
                    form.row #all-matching method="post" action=(to) {
                        (frame::token(visitor))
                        (made(visitor))
                        @if let Some(typed) = meant.typed() { (bulk::number(typed)) }
                        button.primary { (label) }
                    }
                }
            }
            (samples)
        };
        Page::new(title, body)
    }
}

/// When a form was made, as it says: what was done since may have been done by itself.
pub fn made(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="made" value=(visitor.now); }
}

/// The time that [`made`] wrote.
pub fn made_at(form: &Form) -> Option<Timestamp> {
    form.get("made")?.parse().ok()
}

/// What stands where none was found among so many, and more are behind them.
pub fn not_found_yet(further: &str) -> Markup {
    html! { "None among those that were looked at so far; there are more behind them. " a.button href=(further) { "Look further" } }
}

/// Whether going on is of no use: who asks is known no more, or the node has enough.
pub fn is_end(trouble: &Trouble) -> bool {
    matches!(trouble.status, 401 | 429) || trouble.status >= 500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_says_where_it_ended_and_keeps_its_span() {
        let nouns = words::DELIVERIES;
        let at = |millis| At(Timestamp::from_millis(millis));
        let mut counted = Counted::default();
        assert_eq!(counted.said(nouns), "0 deliveries");
        counted.add(at(5));
        assert_eq!(counted.said(nouns), "1 delivery");
        counted.add(at(9));
        counted.add(at(3));
        assert_eq!(counted.span, Some((at(3), at(9))));
        assert_eq!(Counted { is_more: true, count: 1, ..counted }.said(nouns), "1+ deliveries");
    }

    #[test]
    fn what_is_very_many_is_typed_and_what_was_not_found_is_not() {
        let of = |count, is_more| Counted { count, is_more, span: None }.capped();
        for (counted, typed) in [
            (of(0, false), None),
            (of(0, true), None),
            (of(1_000, false), None),
            (of(3, true), Some(3)),
            (of(1_001, false), Some(1_000)),
            (of(4_711, true), Some(1_000)),
        ] {
            assert_eq!(counted.typed(), typed, "{counted:?}");
        }
        assert!(of(0, true).is_not_found_yet() && !of(0, false).is_not_found_yet() && !of(1, true).is_not_found_yet());
    }

    #[test]
    fn what_one_thing_alone_refuses_does_not_end_it() {
        let of = |status| Trouble { status, ..Trouble::internal("no") };
        for (status, ends) in [(401, true), (429, true), (500, true), (503, true), (404, false), (409, false)] {
            assert_eq!(is_end(&of(status)), ends, "{status}");
        }
    }
}
