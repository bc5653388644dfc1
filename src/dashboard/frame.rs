//! What is around every page: where one is, what else there is, and what is said first.

use maud::{DOCTYPE, Markup, html};

use crate::auth::Permission;
use crate::dashboard::branding::Portal;
use crate::dashboard::visitor::{About, ROOT, Visitor};
use crate::dashboard::{assets, icons};

/// A page to be shown.
pub struct Page {
    title: String,
    body: Markup,
    live: Option<String>,
    about_partners: bool,
    /// Assets that this page alone needs.
    scripts: Vec<&'static str>,
    styles: Vec<&'static str>,
}

impl Page {
    /// One with this title, which its body says again where people read it.
    pub fn new(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body, live: None, about_partners: true, scripts: Vec::new(), styles: Vec::new() }
    }

    /// Where its live parts come from.
    pub fn live(self, from: String) -> Self {
        Self { live: Some(from), ..self }
    }

    /// A script of its own, in the order that they are named: an asset.
    pub fn script(mut self, name: &'static str) -> Self {
        self.scripts.push(name);
        self
    }

    /// A style sheet of its own: an asset.
    pub fn style(mut self, name: &'static str) -> Self {
        self.styles.push(name);
        self
    }

    /// It is about neither environment nor partner.
    pub fn about_all(self) -> Self {
        Self { about_partners: false, ..self }
    }
}

/// A way to a page.
struct Way {
    path: &'static str,
    name: &'static str,
    /// What is pressed behind `g`.
    key: &'static str,
    permission: Permission,
}

const fn way(path: &'static str, name: &'static str, key: &'static str, permission: Permission) -> Way {
    Way { path, name, key, permission }
}

/// All of them, under what they are for. New pages have their line here.
const WAYS: &[(&str, &[Way])] = &[
    (
        "Watch",
        &[
            way("", "Overview", "o", Permission::ReadDeliveries),
            way("/exhausted", "Exhausted", "x", Permission::ReadDeliveries),
            way("/replays", "Replays", "r", Permission::ReadDeliveries),
        ],
    ),
    (
        "Find",
        &[
            way("/events", "Events", "e", Permission::ReadDeliveries),
            way("/deliveries", "Deliveries", "d", Permission::ReadDeliveries),
            way("/partners", "Partners", "p", Permission::Operate),
            way("/endpoints", "Endpoints", "w", Permission::ManageEndpoints),
        ],
    ),
    (
        "Set up",
        &[way("/catalog", "Catalog", "c", Permission::ReadEventTypes), way("/keys", "Keys", "k", Permission::Operate)],
    ),
    (
        "Run",
        &[
            way("/nodes", "Nodes", "n", Permission::Operate),
            way("/audit", "Audit", "a", Permission::ReadAudit),
            way("/settings", "Settings", "s", Permission::Operate),
        ],
    ),
];

fn head(title: &str, portal: Option<&Portal>) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · " (portal.map_or("Posthaste", Portal::name)) }
        link rel="stylesheet" href=(assets::address("style.css"));
        @if let Some(portal) = portal { (portal.style()) }
        link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
        script defer src=(assets::address("dashboard.js")) {}
    }
}

/// A page without ways, for whoever has not signed in.
pub fn bare(title: &str, theme: Option<&str>, body: Markup) -> Markup {
    without_ways(title, theme, None, body)
}

/// The same for whoever comes by a link to the portal.
pub fn bare_portal(portal: &Portal, title: &str, theme: Option<&str>, body: Markup) -> Markup {
    without_ways(title, theme, Some(portal), body)
}

fn without_ways(title: &str, theme: Option<&str>, portal: Option<&Portal>, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            head { (head(title, portal)) }
            body.bare { (icons::symbols()) main #main { (body) } }
        }
    }
}

/// A page with everything around it.
pub fn framed(visitor: &Visitor, page: &Page) -> Markup {
    let is_sandbox = visitor.environment() == "sandbox" && page.about_partners;
    let portal = visitor.is_partner().then(|| visitor.dashboard.portal.as_ref());
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[visitor.theme.as_deref()] {
            head {
                (head(&page.title, portal))
                @for name in &page.styles { link rel="stylesheet" href=(assets::address(name)); }
                @for name in &page.scripts { script defer src=(assets::address(name)) {} }
            }
            body.sandbox[is_sandbox] {
                a.skip href="#main" { "Skip to content" }
                (icons::symbols())
                header.top {
                    a.brand href=(visitor.to("", &[])) { @match portal { Some(portal) => (portal.brand()), None => "Posthaste" } }
                    (scope(visitor, page))
                    form.search role="search" action={ (ROOT) "/find" } {
                        (carried(visitor))
                        input #search type="search" name="q" placeholder="Find an id, a URL, a key, a value" aria-label="Find an id, URL, idempotency key, payload value, partner or event type"
                            value=[visitor.query.get("q")] maxlength="2048" autocomplete="off" required;
                    }
                    span #live.live hidden[true] { button type="button" data-pause { "live" } }
                    (account(visitor))
                }
                nav.side aria-label="Pages" { (ways(visitor)) }
                details.menu { summary { "Pages" } nav aria-label="Pages" { (ways(visitor)) } }
                main #main tabindex="-1" data-live=[page.live.as_deref()] {
                    @if let Some(heard) = &visitor.heard { (said(visitor, heard)) }
                    (page.body)
                }
                p #say.unseen role="status" {}
            }
        }
    }
}

/// What was done, or, behind a `!`, what was not.
fn said(visitor: &Visitor, heard: &str) -> Markup {
    match heard.strip_prefix('!') {
        Some(wrong) => html! { p.note.bad role="alert" { (wrong) } },
        None => match &visitor.undo {
            Some(undo) => html! { div.note.row { p role="status" { (heard) } (undo.button(visitor)) } },
            None => html! { p.note role="status" { (heard) } },
        },
    }
}

/// The ways that are open to somebody: what is pressed behind `g`, and what each is called.
pub fn open_ways(visitor: &Visitor) -> impl Iterator<Item = (&'static str, &'static str)> {
    let open = WAYS.iter().flat_map(|(_, ways)| ways.iter()).filter(|way| visitor.may(way.permission));
    open.map(|way| (way.key, named(visitor, way)))
}

/// What a way is called: a partner's first page is of their webhooks.
fn named(visitor: &Visitor, way: &Way) -> &'static str {
    if way.path.is_empty() && visitor.is_partner() { "Webhooks" } else { way.name }
}

fn ways(visitor: &Visitor) -> Markup {
    let here = visitor.path.strip_prefix(ROOT).unwrap_or_default();
    let is_here = |path: &str| match path {
        "" => here.is_empty() || here == "/",
        path => here == path || here.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')),
    };
    html! {
        @for (group, ways) in WAYS {
            @let open: Vec<&Way> = ways.iter().filter(|way| visitor.may(way.permission)).collect();
            @if !open.is_empty() {
                h2 { (group) }
                ul {
                    @for way in open {
                        li {
                            a href=(visitor.to(way.path, &[])) data-go=(way.key)
                                aria-current=[is_here(way.path).then_some("page")] {
                                (named(visitor, way))
                            }
                        }
                    }
                }
            }
        }
        ul.also {
            // Pages that are not the dashboard's are shown in no frame.
            li { a href="/docs" target=[visitor.is_by_link().then_some("_blank")] { "API" } }
            li { a href=(visitor.to("/shortcuts", &[])) data-go="?" aria-current=[is_here("/shortcuts").then_some("page")] { "Shortcuts" } }
        }
    }
}

/// Which environment and partner is looked at, in words, and how to look at others.
fn scope(visitor: &Visitor, page: &Page) -> Markup {
    if !page.about_partners {
        return html! { span.scope { span.muted { "all environments" } } };
    }
    let here = visitor.path.strip_prefix(ROOT).unwrap_or_default();
    // What is about one thing is not there in the other environment.
    let list = match here.char_indices().filter(|(_, character)| *character == '/').nth(1) {
        Some((end, _)) => &here[..end],
        None => here,
    };
    html! {
        span.scope {
            @if visitor.chooses_environment() {
                span.switch role="group" aria-label="Environment" {
                    @for environment in ["production", "sandbox"] {
                        @let parameters: &[(&str, &str)] = if environment == "sandbox" { &[("env", "sandbox")] } else { &[] };
                        @let partner = visitor.partner().filter(|_| visitor.chooses_partner());
                        @let all: Vec<(&str, &str)> = parameters.iter().copied().chain(partner.map(|name| ("partner", name))).collect();
                        a href={ (ROOT) (list) (super::form::query(&all)) } aria-current=[(visitor.environment() == environment).then_some("true")] {
                            (environment)
                        }
                    }
                }
            } @else {
                b { (visitor.environment()) }
            }
            @match visitor.partner() {
                Some(partner) if visitor.chooses_partner() => {
                    span.chip {
                        span.muted { "partner " } b { (partner) } " "
                        a href=(visitor.address(list, None, &[])) aria-label="Look at all partners" title="Look at all partners" { "×" }
                    }
                }
                Some(partner) => b { (partner) },
                None => span.muted.wide { "all partners" },
            }
        }
    }
}

/// What a form keeps of the address.
pub fn carried(visitor: &Visitor) -> Markup {
    html! {
        @if visitor.chooses_environment() && visitor.environment() == "sandbox" {
            input type="hidden" name="env" value="sandbox";
        }
        @if let Some(partner) = visitor.partner().filter(|_| visitor.chooses_partner()) {
            input type="hidden" name="partner" value=(partner);
        }
    }
}

fn account(visitor: &Visitor) -> Markup {
    let chosen = visitor.theme.as_deref().unwrap_or("system");
    html! {
        details.account {
            summary { @if visitor.is_by_link() { "by link" } @else { (visitor.role()) } }
            div {
                // What answers a form is shown once: nobody is led away from a secret by a colour.
                @if !visitor.is_posted { form method="post" action={ (ROOT) "/theme" } {
                    (token(visitor))
                    input type="hidden" name="back" value=(visitor.here);
                    span.muted { "Theme" }
                    @for theme in ["system", "light", "dark"] {
                        button name="theme" value=(theme) aria-pressed=(if theme == chosen { "true" } else { "false" }) { (theme) }
                    }
                } }
                // The script's alone: without it, times are relative and say the rest in their titles.
                form data-times hidden {
                    span.muted { "Times" }
                    @for times in ["relative", "UTC", "local"] { button type="button" value=(times) aria-pressed="false" { (times) } }
                }
                form method="post" action={ (ROOT) "/logout" } { (token(visitor)) button { "Sign out" } }
            }
        }
    }
}

/// What every form carries.
pub fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="token" value=(visitor.token()); }
}

/// A form of one button that does something; where it leads is decided there.
pub fn action(visitor: &Visitor, to: &str, label: &str) -> Markup {
    html! { form method="post" action=(to) { (token(visitor)) button { (label) } } }
}

/// The same where it cannot be undone: what will happen is said, and asked once more.
pub fn confirmed(visitor: &Visitor, to: &str, label: &str, consequence: &str, done: &str) -> Markup {
    html! {
        details.confirm {
            summary.button { (label) "…" }
            form method="post" action=(to) {
                (token(visitor))
                p { (consequence) }
                button.danger { (done) }
            }
        }
    }
}

/// What a list was asked of the API by. Whoever came by a link has no key to ask with.
pub fn as_call(visitor: &Visitor, path: &str, about: About<'_>, parameters: &[(&str, &str)]) -> Markup {
    if visitor.is_by_link() {
        return html! {};
    }
    let uri = visitor.uri(path, about, parameters);
    let command = format!("curl -H \"Authorization: Bearer $KEY\" '{}{uri}'", visitor.base);
    html! {
        details.call {
            summary { "As an API call" }
            div { pre tabindex="0" { (command) } (copy(&command)) }
        }
    }
}

/// A button that copies, where the browser can.
pub fn copy(text: &str) -> Markup {
    html! { button.copy type="button" data-copy=(text) hidden[true] { "Copy" } }
}

/// The same for what stands in an element: it is on the page once.
pub fn copy_of(id: &str) -> Markup {
    html! { button.copy type="button" data-copy="" data-of=(id) hidden[true] { "Copy" } }
}

/// To the next page of a list.
pub fn next(visitor: &Visitor, path: &str, parameters: &[(&str, &str)], cursor: Option<&str>) -> Markup {
    let first = parameters.iter().copied().filter(|(name, _)| *name != "cursor");
    let is_first = visitor.query.get("cursor").is_none();
    html! {
        nav.pages aria-label="Pages of the list" {
            @if !is_first { a href=(visitor.to(path, &first.clone().collect::<Vec<_>>())) { "Newest" } }
            @if let Some(cursor) = cursor {
                @let further: Vec<(&str, &str)> = first.chain([("cursor", cursor)]).collect();
                a rel="next" href=(visitor.to(path, &further)) { "Older" }
            }
        }
    }
}
