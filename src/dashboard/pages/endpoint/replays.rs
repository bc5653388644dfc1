//! The replays that an endpoint was part of.

use maud::{Markup, html};

use crate::auth::Permission;
use crate::dashboard::inside::Trouble;
use crate::dashboard::pages::{nothing, segment};
use crate::dashboard::visitor::{About, Visitor};
use crate::dashboard::wire::{Endpoint, List, ReplayOfEndpoint};
use crate::dashboard::{answers, icons, words};

/// The list, and how to begin one.
pub async fn list(visitor: &Visitor, endpoint: &Endpoint) -> Markup {
    let mut asked = vec![("endpoint", endpoint.id.as_str()), ("limit", "50")];
    asked.extend(visitor.query.filled("cursor").map(|cursor| ("cursor", cursor)));
    let found: Result<List<ReplayOfEndpoint>, Trouble> = visitor.get("/replays", About::These, &asked).await;
    let begin = html! {
        @if visitor.may(Permission::RetryDeliveries) {
            a.button href=(visitor.to_one(&format!("/endpoints/{}/replay", segment(&endpoint.id)))) { "Replay…" }
        }
    };
    match &found {
        Err(trouble) => answers::part(trouble),
        Ok(found) if found.data.is_empty() => {
            let yet = html! { p { "Nothing was replayed to it yet. A replay sends again what failed, or what it missed." } (begin) };
            html! { div.list { (nothing(false, "", &yet)) } }
        }
        Ok(found) => html! {
            div.row { (begin) }
            (table(visitor, &found.data))
            @if let Some(cursor) = &found.next_cursor {
                nav.pages aria-label="Pages of the list" {
                    a rel="next" href=(visitor.to(&format!("/endpoints/{}", segment(&endpoint.id)), &[("tab", "replays"), ("cursor", cursor)])) { "Older" }
                }
            }
        },
    }
}

fn table(visitor: &Visitor, replays: &[ReplayOfEndpoint]) -> Markup {
    html! {
        div.list {
            table {
                caption { "Newest first. The counts are of all endpoints of a replay." }
                thead {
                    tr {
                        th scope="col" { "State" } th scope="col" { "Replay" } th.num scope="col" { "Endpoints" } th.num scope="col" { "Made" }
                        th.num scope="col" { "Passed over" } th scope="col" { "Ended" } th.num scope="col" { "Begun" }
                    }
                }
                tbody {
                    @for replay in replays {
                        tr id=(replay.id) {
                            td.nowrap { (state(&replay.state)) }
                            td.nowrap { a href=(visitor.to_one(&format!("/replays/{}", segment(&replay.id)))) { (words::id(&replay.id)) } }
                            td.num data-l="endpoints" { (words::count(replay.targets)) }
                            td.num data-l="made" { (words::count(replay.made)) }
                            td.num data-l="passed over" { (words::count(replay.skipped)) }
                            td.nowrap { (words::maybe_time(replay.finished_at.map(|at| at.0), visitor.now)) }
                            td.num.nowrap.last { (words::time(replay.created_at.0, visitor.now)) }
                        }
                    }
                }
            }
        }
    }
}

fn state(state: &str) -> Markup {
    match state {
        "running" => icons::state("pending", "running"),
        "done" => icons::state("delivered", "done"),
        other => icons::state("discarded", other),
    }
}
