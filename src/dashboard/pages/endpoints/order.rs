//! In which order endpoints stand: the most harmed first, page by page, as the API has them;
//! or by what waits or by how the last day went, which takes those that match together and
//! is of so many as are looked at.

use std::cmp::Reverse;
use std::collections::HashMap;

use maud::{Markup, html};

use crate::dashboard::visitor::Visitor;
use crate::dashboard::wire::{Endpoint, Series};

/// By what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Harm,
    Waiting,
    Oldest,
    Success,
    Slowness,
}

const ALL: [Order; 5] = [Order::Harm, Order::Waiting, Order::Oldest, Order::Success, Order::Slowness];

impl Order {
    /// What the address says.
    pub fn of(visitor: &Visitor) -> Self {
        let said = visitor.query.get("sort").unwrap_or_default();
        ALL.into_iter().find(|order| order.value() == said).unwrap_or(Self::Harm)
    }

    const fn value(self) -> &'static str {
        match self {
            Self::Harm => "",
            Self::Waiting => "waiting",
            Self::Oldest => "oldest",
            Self::Success => "success",
            Self::Slowness => "p99",
        }
    }

    /// What stands first.
    pub const fn first(self) -> &'static str {
        match self {
            Self::Harm => "most harmed",
            Self::Waiting => "most waiting",
            Self::Oldest => "waiting longest",
            Self::Success => "least success",
            Self::Slowness => "slowest",
        }
    }

    /// As a part of an address.
    pub fn parameter(self) -> Option<(&'static str, &'static str)> {
        (self != Self::Harm).then(|| ("sort", self.value()))
    }

    /// Whether it is by what the last day came to.
    pub const fn is_by_counts(self) -> bool {
        matches!(self, Self::Success | Self::Slowness)
    }

    /// Puts them in order; among equals the most harmed stay first.
    pub fn sort(self, endpoints: &mut [Endpoint], counted: &HashMap<String, Series>) {
        let health =
            |endpoint: &Endpoint| endpoint.health.as_ref().map(|health| (health.backlog, health.backlog_has_more));
        let oldest = |endpoint: &Endpoint| Some(endpoint.health.as_ref()?.oldest_waiting.as_ref()?.created_at);
        let totals = |endpoint: &Endpoint| counted.get(&endpoint.id).map(|series| &series.totals);
        // What there is nothing to say of stands last.
        match self {
            Self::Harm => {}
            Self::Waiting => endpoints.sort_by_key(|endpoint| Reverse(health(endpoint))),
            Self::Oldest => endpoints.sort_by_key(|endpoint| (oldest(endpoint).is_none(), oldest(endpoint))),
            Self::Success => endpoints.sort_by_key(|endpoint| {
                let share = totals(endpoint).and_then(|all| (all.succeeded * 1_000_000).checked_div(all.attempts));
                (share.is_none(), share)
            }),
            Self::Slowness => {
                endpoints.sort_by_key(|endpoint| Reverse(totals(endpoint).and_then(|all| all.attempt_ms.p99)));
            }
        }
    }
}

/// A choice of them.
pub fn choice(visitor: &Visitor) -> Markup {
    let chosen = Order::of(visitor);
    html! {
        label { span.small.muted { "First" }
            select name="sort" {
                @for order in ALL { option value=(order.value()) selected[order == chosen] { (order.first()) } }
            }
        }
    }
}
