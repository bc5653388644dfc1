//! What has to be done so that a node is as a file says: pure, and shown before anything of
//! it is done.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use serde_json::{Map, Value, json};

use super::file::Given;
use super::{Entry, REDACTED, Settings, SettingsError, normal};
use crate::catalog::pointer_below;

/// Characters of a value that are shown of it.
const SHOWN_CHARS: usize = 160;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// To what: as people know it.
    pub subject: String,
    /// Which fields are others afterwards.
    pub changes: Vec<Change>,
    /// Where the file asks for it; empty of what it does not have.
    pub place: String,
    /// What is sent, with names in place of what is secret.
    pub body: Map<String, Value>,
}

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Puts an event type by its name.
    PutEventType {
        /// Which.
        name: String,
        /// There is none so far.
        is_new: bool,
    },
    /// Makes a partner.
    CreatePartner,
    /// Makes a partner's endpoint; `*` is all partners.
    CreateEndpoint {
        /// Whose.
        partner: String,
    },
    /// Changes an endpoint.
    ChangeEndpoint {
        /// Which.
        id: String,
        /// Whose.
        partner: String,
    },
    /// Deletes an endpoint.
    DeleteEndpoint {
        /// Which.
        id: String,
        /// Whose.
        partner: String,
    },
    /// Takes an event type out.
    DeleteEventType {
        /// Which.
        name: String,
    },
}

impl StepKind {
    const fn sign(&self) -> char {
        match self {
            Self::PutEventType { is_new: true, .. } | Self::CreatePartner | Self::CreateEndpoint { .. } => '+',
            Self::PutEventType { is_new: false, .. } | Self::ChangeEndpoint { .. } => '~',
            Self::DeleteEndpoint { .. } | Self::DeleteEventType { .. } => '-',
        }
    }
}

/// A field that is another afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where in the thing: a JSON pointer.
    pub pointer: String,
    /// What it is; `None` is nothing.
    pub before: Option<Value>,
    /// What it becomes.
    pub after: Option<Value>,
}

/// What is asked for beside the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes {
    /// Delete what is not in the file.
    pub prune: bool,
    /// Send what may have changed without showing it: headers' values, certificates' keys.
    pub set_secrets: bool,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In the order in which they are done.
    pub steps: Vec<Step>,
    /// What the node has and the file has not, and stays.
    pub not_in_file: Vec<String>,
    /// How many things are as they should be.
    pub unchanged: usize,
}

impl Plan {
    /// What makes `found` into `wanted`. Event types come first, since endpoints name
    /// them; then partners, then endpoints; what goes, the other way round.
    pub fn new(wanted: &Settings, found: &Settings, wishes: Wishes) -> Result<Self, SettingsError> {
        refuse_erased(wanted, found)?;
        let found = &found.without_erased();
        let mut plan = Self::default();
        plan.event_types(wanted, found);
        plan.partners(wanted, found);
        let of_endpoints = plan.endpoints(wanted, found, wishes)?;
        for entry in of_endpoints {
            let (partner, url) = entry.endpoint_key();
            let id = entry.text("id").to_owned();
            let subject = format!("endpoint {url} of {partner} ({id})");
            plan.surplus(wishes, StepKind::DeleteEndpoint { id, partner }, subject);
        }
        for entry in missing(&found.event_types, &wanted.event_types) {
            let name = entry.text("name").to_owned();
            let subject = format!("event type {name}");
            plan.surplus(wishes, StepKind::DeleteEventType { name }, subject);
        }
        // To take a partner away is to erase all that it ever was sent, which cannot be undone:
        // no file does that by leaving it out.
        plan.not_in_file
            .extend(missing(&found.partners, &wanted.partners).map(|entry| format!("partner {}", entry.text("name"))));
        Ok(plan)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn surplus(&mut self, wishes: Wishes, kind: StepKind, subject: String) {
        if wishes.prune {
            self.steps.push(Step { kind, subject, changes: Vec::new(), place: String::new(), body: Map::new() });
        } else {
            self.not_in_file.push(subject);
        }
    }

    fn event_types(&mut self, wanted: &Settings, found: &Settings) {
        for entry in &wanted.event_types {
            let name = entry.text("name").to_owned();
            let known = found.event_types.iter().find(|known| known.text("name") == name);
            let after = normal::event_type(&entry.fields);
            let changes = match known {
                None => Vec::new(),
                Some(known) => differences(&normal::event_type(&known.fields), &after),
            };
            if known.is_some() && changes.is_empty() {
                self.unchanged += 1;
                continue;
            }
            self.steps.push(Step {
                subject: format!("event type {name}"),
                kind: StepKind::PutEventType { name, is_new: known.is_none() },
                changes,
                place: entry.place.clone(),
                body: entry.fields.clone(),
            });
        }
    }

    fn partners(&mut self, wanted: &Settings, found: &Settings) {
        for entry in &wanted.partners {
            let name = entry.text("name");
            if found.partners.iter().any(|known| known.text("name") == name) {
                self.unchanged += 1;
                continue;
            }
            self.steps.push(Step {
                kind: StepKind::CreatePartner,
                subject: format!("partner {name}"),
                changes: Vec::new(),
                place: entry.place.clone(),
                body: entry.fields.clone(),
            });
        }
    }

    /// Gives back those that the file does not have.
    fn endpoints<'a>(
        &mut self,
        wanted: &Settings,
        found: &'a Settings,
        wishes: Wishes,
    ) -> Result<Vec<&'a Entry>, SettingsError> {
        let mut known: HashMap<(String, String), &Entry> =
            found.endpoints.iter().map(|entry| (entry.endpoint_key(), entry)).collect();
        for entry in &wanted.endpoints {
            let (partner, url) = entry.endpoint_key();
            let is_known = |partners: &[Entry]| partners.iter().any(|known| known.text("name") == partner);
            if partner != "*" && !is_known(&wanted.partners) && !is_known(&found.partners) {
                let detail =
                    format!("partner `{partner}` is neither in the file nor on the node: add it as a `partner`");
                return Err(SettingsError::wrong(format!("{}/partner", entry.place), detail));
            }
            let subject = format!("endpoint {url} of {partner}");
            let place = entry.place.clone();
            let Some(known) = known.remove(&(partner.clone(), url)) else {
                let mut body = entry.fields.clone();
                body.remove("partner");
                if partner == "*" {
                    body.insert("partners".to_owned(), json!("*"));
                }
                let kind = StepKind::CreateEndpoint { partner };
                self.steps.push(Step { kind, subject, changes: Vec::new(), place, body });
                continue;
            };
            let (before, after) = (normal::endpoint(&known.fields), normal::endpoint(&entry.fields));
            let mut changes = differences(&before, &after);
            if let Some(signing) = changes.iter().find(|change| change.pointer == "/signing") {
                let to = signing.after.clone().unwrap_or_default();
                let detail = format!(
                    "the endpoint signs in another way; `POST /webhook/{}/secret/rotate` with {{\"signing\": {to}}} changes \
                     that, and for a while both sign",
                    known.text("id"),
                );
                return Err(SettingsError::wrong(format!("{place}/signing"), detail));
            }
            let mut body = changed_fields(&before, &after, &entry.fields);
            if wishes.set_secrets {
                set_secrets(entry, &mut body, &mut changes);
            }
            if body.is_empty() {
                self.unchanged += 1;
                continue;
            }
            let id = known.text("id").to_owned();
            let subject = format!("{subject} ({id})");
            self.steps.push(Step { kind: StepKind::ChangeEndpoint { id, partner }, subject, changes, place, body });
        }
        let mut left: Vec<&Entry> = known.into_values().collect();
        left.sort_by_key(|entry| entry.endpoint_key());
        Ok(left)
    }
}

/// Refuses a file that names a partner that is being erased: nothing can be made for it, and
/// what it had is going.
fn refuse_erased(wanted: &Settings, found: &Settings) -> Result<(), SettingsError> {
    let named = wanted.partners.iter().map(|entry| (entry, "name"));
    for (entry, field) in named.chain(wanted.endpoints.iter().map(|entry| (entry, "partner"))) {
        let partner = entry.text(field);
        if found.is_erasing(partner) {
            let detail = format!(
                "partner `{partner}` is being erased: leave it out, or wait until `GET /partners/{partner}` is a 404, \
                 when the name is free again"
            );
            return Err(SettingsError::wrong(format!("{}/{field}", entry.place), detail));
        }
    }
    Ok(())
}

/// What is in one list and not in the other, by name.
fn missing<'a>(all: &'a [Entry], among: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
    all.iter().filter(|entry| !among.iter().any(|other| other.text("name") == entry.text("name")))
}

/// What a `PATCH` has to name: `null` is a field's default.
fn changed_fields(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Map<String, Value> {
    let changed = after.iter().filter(|(field, value)| before.get(*field) != Some(value));
    changed.map(|(field, _)| (field.clone(), wanted.get(field).cloned().unwrap_or_default())).collect()
}

/// Adds what nobody can compare, as far as the file gives it.
fn set_secrets(entry: &Entry, body: &mut Map<String, Value>, changes: &mut Vec<Change>) {
    for (field, names) in [("headers", "header values"), ("client_certificate", "a certificate's key")] {
        let Some(value) = entry.fields.get(field) else { continue };
        let members = value.as_object().into_iter().flatten();
        let is_given = members.clone().count() > 0
            && members.clone().all(|(name, value)| name != "sha256" && value.as_str() != Some(REDACTED));
        if is_given && !body.contains_key(field) {
            body.insert(field.to_owned(), value.clone());
            let after = Some(Value::from(format!("{names} as the file gives them")));
            changes.push(Change { pointer: format!("/{field}"), before: None, after });
        }
    }
}

impl Step {
    /// What is sent: names are replaced by the secrets that they stand for. Asked of every
    /// step before the first is done.
    pub fn revealed(&self) -> Result<Map<String, Value>, SettingsError> {
        let wrong = |field: &str, detail: String| SettingsError::wrong(format!("{}{field}", self.place), detail);
        let reveal = |field: &str, value: &Value| -> Result<Value, SettingsError> {
            if value.as_str() == Some(REDACTED) {
                let detail = format!("`{REDACTED}` stands for a value that only the node knows: give it anew here");
                return Err(wrong(field, detail));
            }
            Given::of(value).and_then(Given::reveal).map(Value::String).map_err(|detail| wrong(field, detail))
        };
        let mut body = self.body.clone();
        if let Some(secret) = body.get_mut("secret") {
            *secret = reveal("/secret", secret)?;
        }
        for field in ["headers", "client_certificate"] {
            let Some(Value::Object(members)) = body.get_mut(field) else { continue };
            for (name, value) in members.iter_mut() {
                let pointer = format!("/{field}{}", pointer_below("", name));
                if field == "client_certificate" && name == "sha256" {
                    let detail = "the node has no such certificate there: give `certificate` and `key`";
                    return Err(wrong(&pointer, detail.to_owned()));
                }
                *value = reveal(&pointer, value)?;
            }
        }
        Ok(body)
    }
}

/// Field by field, as far down as both are objects.
fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", before, after, &mut changes);
    changes
}

fn compare(pointer: &str, before: &Map<String, Value>, after: &Map<String, Value>, changes: &mut Vec<Change>) {
    let new = after.keys().filter(|field| !before.contains_key(*field));
    for field in before.keys().chain(new) {
        let below = pointer_below(pointer, field);
        match (before.get(field), after.get(field)) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => compare(&below, before, after, changes),
            (before, after) if before == after => {}
            (before, after) => {
                changes.push(Change { pointer: below, before: before.cloned(), after: after.cloned() });
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(formatter, "{step}")?;
            for change in &step.changes {
                writeln!(formatter, "    {change}")?;
            }
        }
        for subject in &self.not_in_file {
            writeln!(formatter, "? {subject} is not in the file")?;
        }
        let count = |sign| self.steps.iter().filter(|step| step.kind.sign() == sign).count();
        write!(
            formatter,
            "plan: {} to create, {} to change, {} to delete; {} unchanged, {} not in the file",
            count('+'),
            count('~'),
            count('-'),
            self.unchanged,
            self.not_in_file.len(),
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind.sign() {
            '+' => "create",
            '~' => "change",
            _ => "delete",
        };
        write!(formatter, "{} {verb} {}", self.kind.sign(), self.subject)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} → {}", self.pointer, shown(self.before.as_ref()), shown(self.after.as_ref()))
    }
}

/// As JSON, in which no control character is left, and not too much of it.
fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let mut text = value.to_string();
    if let Some((cut, _)) = text.char_indices().nth(SHOWN_CHARS) {
        let length = text.len();
        text.truncate(cut);
        let _ = write!(text, "… ({length} bytes)");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::settings::file::{Format, parse};

    fn settings(text: &str) -> Settings {
        parse("t.toml", &format!("environment = \"sandbox\"\n{text}"), Format::Toml).expect("nothing is wrong with it")
    }

    fn planned(wanted: &str, found: &str, wishes: Wishes) -> String {
        Plan::new(&settings(wanted), &settings(found), wishes).expect("it can be planned").to_string()
    }

    const ACME: &str =
        "[[partner]]\nname = \"acme\"\n[[endpoint]]\npartner = \"acme\"\nurl = \"https://e.com/a\"\nevents = [\"*\"]\n";

    #[test]
    fn a_plan_says_what_is_done_field_by_field() {
        let order = "[[event_type]]\nname = \"order\"\nschema = { type = \"object\", title = \"T\" }\nexample = { event = \"order\" }\n";
        let found = format!("{ACME}headers = {{ x-a = \"1\" }}\n{order}");
        let other = order.replace("title = \"T\"", "minProperties = 1");
        let wanted = format!(
            "{ACME}timeout_ms = 2000\nheaders = {{ X-A = \"secret\", x-b = \"secret\" }}\n{other}[[partner]]\nname = \"zoe\"\n\
             [[endpoint]]\npartner = \"zoe\"\nurl = \"https://z.com\"\nevents = [\"order\"]\n"
        );
        let plan = planned(&wanted, &found, Wishes::default());
        assert_eq!(
            plan,
            "~ change event type order\n    /schema/title: \"T\" → nothing\n    /schema/minProperties: nothing → 1\n\
             + create partner zoe\n\
             ~ change endpoint https://e.com/a of acme ()\n    /headers: [\"x-a\"] → [\"x-a\",\"x-b\"]\n    /timeout_ms: 15000 → 2000\n\
             + create endpoint https://z.com/ of zoe\n\
             plan: 2 to create, 2 to change, 0 to delete; 1 unchanged, 0 not in the file"
        );
        assert!(!plan.contains("secret"));
    }

    #[test]
    fn what_is_not_in_the_file_stays_unless_it_is_to_go() {
        let stays = planned("", ACME, Wishes::default());
        assert_eq!(
            stays,
            "? endpoint https://e.com/a of acme () is not in the file\n? partner acme is not in the file\n\
             plan: 0 to create, 0 to change, 0 to delete; 0 unchanged, 2 not in the file"
        );
        let goes = planned("", ACME, Wishes { prune: true, ..Wishes::default() });
        assert!(goes.starts_with("- delete endpoint https://e.com/a of acme ()\n? partner acme is not"), "{goes}");
    }

    #[test]
    fn secrets_are_sent_when_they_are_asked_for() {
        let with = |headers: &str| format!("{ACME}headers = {{ x = {headers} }}\n");
        let (given, redacted) = (with("\"1\""), with("\"(redacted)\""));
        let set = Wishes { set_secrets: true, ..Wishes::default() };
        assert!(planned(&given, &redacted, Wishes::default()).starts_with("plan: 0 to create, 0 to change"));
        assert!(
            planned(&given, &redacted, set).contains("/headers: nothing → \"header values as the file gives them\"")
        );
        assert!(planned(&redacted, &redacted, set).starts_with("plan: 0 to create, 0 to change"));
        let revealed = |wanted: &str, found: &str| {
            let plan = Plan::new(&settings(wanted), &settings(found), set).expect("it can be planned");
            plan.steps.iter().map(Step::revealed).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
        };
        assert_eq!(revealed(&given, &redacted).expect("it is given")[0]["headers"]["x"], "1");
        let unknown = revealed(&redacted, "[[partner]]\nname = \"acme\"\n").expect_err("nobody knows it");
        assert!(unknown.starts_with("t.toml:4: /endpoint/0/headers/x: `(redacted)` stands for"), "{unknown}");
        let unset = revealed(&with("{ env = \"POSTHASTE_NO_SUCH_VARIABLE\" }"), &redacted).expect_err("it is not set");
        assert!(unset.contains("no variable `POSTHASTE_NO_SUCH_VARIABLE`"), "{unset}");
        let elsewhere = Plan::new(&settings(&ACME.replace("[[partner]]\nname = \"acme\"\n", "")), &settings(""), set);
        assert!(elsewhere.expect_err("nobody has that partner").to_string().contains("partner `acme` is neither"));
    }

    #[test]
    fn a_partner_that_is_being_erased_is_as_good_as_gone() {
        let zoe = ACME.replace("acme", "zoe");
        let mut found = settings(&format!("{ACME}{zoe}"));
        found.partners[1].fields.insert("erasing".to_owned(), json!({ "since": "2026-11-27T09:30:00.000Z" }));
        let prune = Wishes { prune: true, ..Wishes::default() };
        let plan = Plan::new(&settings(ACME), &found, prune).expect("it does not name it").to_string();
        assert_eq!(plan, "plan: 0 to create, 0 to change, 0 to delete; 2 unchanged, 0 not in the file");
        let endpoint_alone = zoe.replace("[[partner]]\nname = \"zoe\"\n", "");
        for (named, place) in [(&zoe, "t.toml:2: /partner/0/name"), (&endpoint_alone, "t.toml:2: /endpoint/0/partner")]
        {
            let refused =
                Plan::new(&settings(named), &found, prune).expect_err("nothing can be made for it").to_string();
            assert!(refused.starts_with(&format!("{place}: partner `zoe` is being erased")), "{refused}");
        }
        let exported = crate::cli::settings::node::exported(&found);
        let names = |entries: &[Entry], field: &str| -> Vec<String> {
            entries.iter().map(|entry| entry.text(field).to_owned()).collect()
        };
        assert_eq!(names(&exported.partners, "name"), ["acme"]);
        assert_eq!(names(&exported.endpoints, "partner"), ["acme"]);
    }

    proptest! {
        #[test]
        fn nothing_is_to_be_done_where_both_are_the_same(
            urls in prop::collection::hash_set("[a-z]{1,3}", 0..5),
            enabled: bool,
            wishes in (any::<bool>(), any::<bool>()),
        ) {
            let text: String = urls
                .iter()
                .map(|url| format!(
                    "[[partner]]\nname = \"{url}\"\n[[endpoint]]\npartner = \"{url}\"\nurl = \"https://{url}.com\"\n\
                     events = [\"b\", \"a\"]\nenabled = {enabled}\n"
                ))
                .collect();
            let settings = settings(&text);
            let wishes = Wishes { prune: wishes.0, set_secrets: wishes.1 };
            let plan = Plan::new(&settings, &settings, wishes).expect("it can be planned");
            prop_assert!(plan.is_empty() && plan.not_in_file.is_empty());
            prop_assert_eq!(plan.unchanged, 2 * urls.len());
        }
    }
}
