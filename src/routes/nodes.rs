//! `/nodes`: who works here, for operators.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::PARTITIONS;
use crate::routes::extract::Caller;
use crate::routes::problem::Answer;
use crate::routes::{Api, show};
use crate::store::{self, NodeRecord};

/// All nodes that live, the one that answers included.
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only(&[])?;
    let nodes = match api.store.leases() {
        Some(leases) => store::blocking(&api.store, move |_| leases.nodes()).await?,
        None => vec![alone(&api)],
    };
    let data: Vec<Value> = nodes.iter().map(show::node).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data })))
}

/// The only node of a store that is not shared.
fn alone(api: &Api) -> NodeRecord {
    NodeRecord {
        id: api.node.id,
        address: api.node.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        partitions: PARTITIONS,
        in_flight: u32::try_from(api.metrics.attempts_in_flight.get()).unwrap_or(0),
        lease_until: None,
    }
}
