//! `GET /settings`: what this node is configured with, for operators: each option with its
//! value (secrets never), its default, who said it and what it means, and which other nodes
//! have it otherwise. What is hidden was decided where the configuration was read.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::routes::extract::Caller;
use crate::routes::problem::Answer;
use crate::routes::reporting::{About, compared, of_all};
use crate::routes::{Api, openapi};

/// An option as it holds, without what is kept back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// What it stands under.
    pub heading: &'static str,
    /// As the configuration file spells it.
    pub name: &'static str,
    /// Its value, with dots for what is kept back.
    pub value: String,
    /// Whether something of it is.
    pub is_masked: bool,
    /// What it is where nobody says anything.
    pub default: String,
    /// Who said it.
    pub source: Source,
    /// What it does.
    pub meaning: String,
}

/// Who said it, and where exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody.
    Default,
    /// A line of a file.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl Source {
    fn show(&self) -> Value {
        let (kind, at) = match self {
            Self::Default => ("default", None),
            Self::File(at) => ("file", Some(at)),
            Self::Environment(at) => ("environment", Some(at)),
            Self::Flag(at) => ("flag", Some(at)),
        };
        json!({ "kind": kind, "at": at })
    }
}

/// Tells what this node is configured with, and where other nodes differ.
#[utoipa::path(
    get, path = "/settings", operation_id = "read_settings", tag = "administration",
    responses((status = 200, description = "Every option. A node that does not answer within half a second is said not to be reachable.", body = openapi::Settings))
)]
pub async fn read(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let nodes = of_all(&api, About::Settings).await?;
    let data: Vec<Value> = api
        .configured
        .iter()
        .map(|option| {
            let here = compared(&option.value);
            let elsewhere = nodes.iter().filter_map(|(node, said)| {
                let value = said.as_ref()?.settings.get(option.name)?;
                (*value != here).then(|| json!({ "node": node.id.to_string(), "value": value }))
            });
            json!({
                "heading": option.heading,
                "name": option.name,
                "value": option.value,
                "masked": option.is_masked,
                "default": option.default,
                "source": option.source.show(),
                "meaning": option.meaning,
                "elsewhere": elsewhere.collect::<Vec<_>>(),
            })
        })
        .collect();
    let nodes: Vec<Value> =
        nodes.iter().map(|(node, said)| json!({ "id": node.id.to_string(), "reachable": said.is_some() })).collect();
    Ok(HttpResponse::Ok().json(json!({ "node": api.node.id.to_string(), "data": data, "nodes": nodes })))
}
