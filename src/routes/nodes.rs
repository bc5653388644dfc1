//! `/nodes`: who works here, and who is held, for operators.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::{AuditAction, NodeId, PARTITIONS};
use crate::engine::Release;
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::{Api, openapi, show, to_the_end};
use crate::store::{self, NodeRecord};

/// All nodes that live, the one that answers included.
#[utoipa::path(
    get, path = "/nodes", operation_id = "list_nodes", tag = "administration",
    responses((status = 200, description = "The nodes.", body = openapi::Nodes))
)]
pub async fn list(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let nodes = nodes(&api).await?;
    let data: Vec<Value> = nodes.iter().map(show::node).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data })))
}

/// Lets this node send, if it was started held.
#[utoipa::path(
    post, path = "/nodes/{id}/release", operation_id = "release_node", tag = "administration",
    params(("id" = openapi::NodeId, Path, description = "Which node.")),
    responses((status = 200, description = "It sends.", body = openapi::ReleasedNode))
)]
pub async fn release(api: web::Data<Api>, caller: Caller, id: web::Path<String>) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let id: NodeId = id.parse().map_err(|_| Problem::not_found("node"))?;
    if id != api.node.id {
        let found = nodes(&api).await?.into_iter().find(|node| node.id == id);
        let other = found.ok_or_else(|| Problem::not_found("node"))?;
        let address = other.address.as_deref().unwrap_or("an address that it does not advertise");
        return Err(Problem::new(Kind::Conflict, format!("only that node can release itself: ask {address}")));
    }
    let entry = caller.did(AuditAction::NodeReleased).about(id);
    to_the_end(async move {
        // Nothing of it is in the store, so it is written down before anything is sent.
        if api.hold.is_on() {
            let noted = api.journal.change(move |transaction| {
                // One that was restored from a copy is a store like any other from now on.
                transaction.forget_restored()?;
                transaction.audit(&entry);
                Ok(())
            });
            noted.await?;
        }
        api.supervisor.send(Release).await.map_err(|_| Problem::new(Kind::Overloaded, "this node is stopping"))
    })
    .await?;
    Ok(HttpResponse::Ok().json(json!({ "id": id.to_string(), "held": false })))
}

async fn nodes(api: &Api) -> Result<Vec<NodeRecord>, Problem> {
    let Some(leases) = api.store.leases() else { return Ok(vec![alone(api)]) };
    let mut nodes = store::blocking(&api.store, move |_| leases.nodes()).await?;
    // What is stored of this node is as old as its last report.
    for node in nodes.iter_mut().filter(|node| node.id == api.node.id) {
        node.is_held = api.hold.is_on();
    }
    Ok(nodes)
}

/// The only node of a store that is not shared.
fn alone(api: &Api) -> NodeRecord {
    NodeRecord {
        id: api.node.id,
        address: api.node.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        partitions: PARTITIONS,
        in_flight: u32::try_from(api.metrics.attempts_in_flight.get()).unwrap_or(0),
        is_held: api.hold.is_on(),
        lease_until: None,
    }
}
