//! Doing one thing to many rows of a list: ticks, a bar that says how many, and buttons
//! that say verb, number and object. What is very many is typed. A row is ticked for a form
//! that stands elsewhere on the page, so that rows may have forms of their own.

use std::collections::HashSet;
use std::future::Future;

use maud::{Markup, html};

use crate::dashboard::form::Form;
use crate::dashboard::frame;
use crate::dashboard::inside::Trouble;
use crate::dashboard::visitor::Visitor;
use crate::dashboard::words;

/// What is for more than so many asks that the number be typed.
pub const TYPED_ABOVE: u64 = 1_000;
/// Rows of one form: a page of a list.
pub const PICKED_MAX: usize = 250;

/// Something that is done to rows.
pub struct Deed<'a> {
    /// The address of the form.
    pub to: &'a str,
    /// `Dismiss`.
    pub verb: &'a str,
    /// `group`, `groups`.
    pub nouns: (&'a str, &'a str),
    /// What will happen.
    pub consequence: &'a str,
    /// What else there is beyond this page: how many, as it is said. Then all that matches
    /// can be meant.
    pub all: Option<&'a str>,
    /// How many all of it is, where that must be typed.
    pub typed: Option<u64>,
}

/// The tick of a row, for the form of this id.
pub fn tick(form: &str, value: &str, label: &str) -> Markup {
    html! { label.tick { input type="checkbox" name="pick" value=(value) form=(form) aria-label={ "Select " (label) }; } }
}

/// The bar over a list: how many are ticked, and what is done to them.
pub fn bar(visitor: &Visitor, id: &str, deed: &Deed<'_>, more: &Markup) -> Markup {
    let Deed { to, verb, nouns: (one, many), consequence, all, typed } = deed;
    html! {
        form.bulk id=(id) method="post" action=(to) data-bulk="" {
            (frame::token(visitor))
            (more)
            button type="button" data-every="" hidden { "Select all of this page" }
            span.muted data-count="" role="status" {}
            @if let Some(all) = all {
                label.box { input type="checkbox" name="all" value="1"; (all) }
            }
            details.confirm {
                summary.button { (verb) "…" }
                p { (consequence) }
                @if let Some(typed) = typed {
                    label { "For all that match, type " b { (words::count(*typed)) } " " input.small-number type="text" name="typed" inputmode="numeric" autocomplete="off"; }
                    input type="hidden" name="number" value=(typed);
                }
                button.danger data-verb={ (verb) "|" (one) "|" (many) } { (verb) " the selected " (many) }
            }
        }
    }
}

/// The rows that were ticked.
pub fn picked(form: &Form) -> Vec<&str> {
    let mut seen = HashSet::new();
    form.all("pick").filter(|pick| seen.insert(*pick)).take(PICKED_MAX).collect()
}

/// Whether all that matches is meant.
pub fn is_all(form: &Form) -> bool {
    form.is_on("all")
}

/// Whether a number was typed: its digits count, however they are grouped.
pub fn is_typed(form: &Form, number: u64) -> bool {
    let typed: String =
        form.get("typed").unwrap_or_default().chars().filter(|c| !matches!(c, ',' | '.' | ' ' | '\u{a0}')).collect();
    typed.parse() == Ok(number)
}

/// What came of doing something to several.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How many things were changed.
    pub done: u64,
    /// Of how many rows it failed, and why first.
    pub failed: u64,
    pub why: Option<Trouble>,
}

/// Does something to each, one after the other, so that they are no burden. A row that
/// fails does not keep the others; a key that is not good any more ends it.
pub async fn each<T, F>(rows: impl IntoIterator<Item = T>, mut act: impl FnMut(T) -> F) -> Done
where
    F: Future<Output = Result<u64, Trouble>>,
{
    let mut all = Done::default();
    for row in rows {
        match act(row).await {
            Ok(done) => all.done += done,
            Err(trouble) => {
                let is_over = trouble.status == 401;
                all.failed += 1;
                all.why.get_or_insert(trouble);
                if is_over {
                    break;
                }
            }
        }
    }
    all
}

impl Done {
    /// What came of others besides.
    pub fn add(&mut self, others: Self) {
        self.done += others.done;
        self.failed += others.failed;
        self.why = self.why.take().or(others.why);
    }

    /// As a sentence, for [`Visitor::say`]: `Dismissed 3 deliveries.`
    pub fn said(&self, done: &str, (one, many): (&str, &str)) -> String {
        let noun = if self.done == 1 { one } else { many };
        let said = format!("{done} {} {noun}.", words::count(self.done));
        match &self.why {
            None => said,
            Some(why) => format!("!{said} {} failed: {}: {}", words::count(self.failed), why.title, why.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_typed_digit_by_digit() {
        let form = |typed: &str| Form::parse(format!("typed={typed}").as_bytes());
        for (typed, good) in
            [("", false), ("1001", true), ("1,001", true), ("1 001", true), ("1002", false), ("all", false)]
        {
            assert_eq!(is_typed(&form(typed), 1_001), good, "{typed}");
        }
    }

    #[test]
    fn what_was_done_is_said_in_numbers() {
        let nouns = ("delivery", "deliveries");
        assert_eq!(Done { done: 1, ..Done::default() }.said("Dismissed", nouns), "Dismissed 1 delivery.");
        let trouble = Trouble::not_found("there is no such endpoint");
        let said = Done { done: 2_000, failed: 1, why: Some(trouble) }.said("Dismissed", nouns);
        assert!(said.starts_with("!Dismissed 2,000 deliveries. 1 failed: There is no such thing"), "{said}");
    }
}
