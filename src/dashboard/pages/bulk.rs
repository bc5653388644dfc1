//! Doing one thing to many rows of a list: ticks, a bar that says how many, and buttons
//! that say verb, number and object. What is very many is typed. A row is ticked for a form
//! that stands elsewhere on the page, so that rows may have forms of their own.

use std::collections::HashSet;
use std::future::Future;

use maud::{Markup, html};

use crate::dashboard::form::Form;
use crate::dashboard::frame;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::matching;
use crate::dashboard::visitor::Visitor;
use crate::dashboard::words;

/// What is for more than so many asks that the number be typed.
pub const TYPED_ABOVE: u64 = 1_000;
/// Rows of one form: a page of a list.
pub const PICKED_MAX: usize = 250;
/// What a press of Enter asks for.
const NOTHING: &str = "none";

/// Something that is done to rows.
pub struct Deed<'a> {
    /// `Dismiss`, and how the form says it.
    pub verb: &'a str,
    pub value: &'a str,
    /// What will happen, where that is asked once more.
    pub consequence: Option<&'a str>,
}

/// The bar of a list.
pub struct Bar<'a> {
    /// The id of its form.
    pub id: &'a str,
    /// The page of the list, and what its address says of it.
    pub list: (&'a str, &'a [(&'a str, &'a str)]),
    /// Where the form is sent to, below that.
    pub to: &'a str,
    /// `group`, `groups`.
    pub nouns: (&'a str, &'a str),
    pub deeds: &'a [Deed<'a>],
    /// What "all matching" means here: it is looked at first, on a page of its own.
    pub all: &'a str,
}

/// Whether every row of the page is ticked: the address asks for it, without a script.
pub fn are_all_ticked(visitor: &Visitor) -> bool {
    visitor.query.get("select") == Some("all")
}

/// The tick of a row, for the form of this id.
pub fn tick(visitor: &Visitor, form: &str, value: &str, label: &str) -> Markup {
    html! {
        label.tick {
            input type="checkbox" name="pick" value=(value) form=(form) checked[are_all_ticked(visitor)] aria-label={ "Select " (label) };
        }
    }
}

/// How many are ticked, and what is done to them. It stands below its list, and sticks to
/// the lower edge of the window.
pub fn bar(visitor: &Visitor, bar: &Bar<'_>, more: &Markup) -> Markup {
    let Bar { id, list: (path, asked), to, nouns: (one, many), deeds, all } = bar;
    let is_every = are_all_ticked(visitor);
    let every: Vec<(&str, &str)> = asked.iter().copied().chain((!is_every).then_some(("select", "all"))).collect();
    let button = |deed: &Deed<'_>, class: Option<&str>| {
        html! {
            button class=[class] name="verb" value=(deed.value) data-verb=(deed.verb) { (deed.verb) " the selected " (many) }
        }
    };
    html! {
        form.bulk id=(id) method="post" action=(visitor.to(&format!("{path}/{to}"), asked)) data-bulk={ (one) "|" (many) } {
            (frame::token(visitor))
            (more)
            // What a press of Enter sends: nothing.
            button type="submit" name="verb" value=(NOTHING) hidden tabindex="-1" { "Nothing" }
            a data-every href=(visitor.to(path, &every)) { @if is_every { "Select none" } @else { "Select all of this page" } }
            span.muted data-count role="status" {}
            label.box { input type="checkbox" name="all" value="1"; span { "all matching" span.muted { ": " (all) } } }
            @for deed in *deeds {
                @match deed.consequence {
                    None => (button(deed, None)),
                    Some(consequence) => details.confirm {
                        summary.button { (deed.verb) "…" }
                        p { (consequence) }
                        (button(deed, Some("danger")))
                    }
                }
            }
        }
    }
}

/// Where a number is typed before it is done to so many.
pub fn number(number: u64) -> Markup {
    html! {
        label { "For all that match, type " b { (words::count(number)) } " " input.small-number type="text" name="typed" inputmode="numeric" autocomplete="off"; }
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

/// Whether nothing was pressed: Enter was, in a tick.
pub fn is_nothing(form: &Form) -> bool {
    form.get("verb") == Some(NOTHING)
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
/// fails does not keep the others, unless going on is of no use (`matching::is_end`).
pub async fn each<T, F>(rows: impl IntoIterator<Item = T>, mut act: impl FnMut(T) -> F) -> Done
where
    F: Future<Output = Result<u64, Trouble>>,
{
    let mut all = Done::default();
    for row in rows {
        match act(row).await {
            Ok(done) => all.done += done,
            Err(trouble) => {
                let is_over = matching::is_end(&trouble);
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
    pub fn said(&self, done: &str, nouns: (&str, &str)) -> String {
        let said = format!("{done} {}.", words::of_these(self.done, false, nouns));
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
        let nouns = words::DELIVERIES;
        assert_eq!(Done { done: 1, ..Done::default() }.said("Dismissed", nouns), "Dismissed 1 delivery.");
        let trouble = Trouble::not_found("there is no such endpoint");
        let said = Done { done: 2_000, failed: 1, why: Some(trouble) }.said("Dismissed", nouns);
        assert!(said.starts_with("!Dismissed 2,000 deliveries. 1 failed: There is no such thing"), "{said}");
    }
}
