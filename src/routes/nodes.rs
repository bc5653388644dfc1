//! `/nodes`: who works here, what each owns, how each is, and who is held, for operators.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::domain::{AuditAction, NodeId, PARTITIONS};
use crate::engine::Release;
use crate::routes::extract::Caller;
use crate::routes::problem::{Answer, Kind, Problem};
use crate::routes::reporting::{About, of_all};
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
    let nodes = all(&api).await?;
    let data: Vec<Value> = nodes.iter().map(show::node).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data })))
}

/// Which of the 256 partitions each node owns.
#[utoipa::path(
    get, path = "/nodes/partitions", operation_id = "list_partitions", tag = "administration",
    responses((status = 200, description = "Who owns which, as the store says just now.", body = openapi::Partitions))
)]
pub async fn partitions(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let owners = match api.store.leases() {
        None => vec![Some(api.node.id); PARTITIONS],
        Some(leases) => store::blocking(&api.store, move |_| leases.owners()).await?,
    };
    let mut owned: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut unowned = Vec::new();
    for (partition, owner) in owners.into_iter().enumerate() {
        owner.map_or(&mut unowned, |node| owned.entry(node).or_default()).push(partition);
    }
    let data: Vec<Value> =
        owned.iter().map(|(node, partitions)| json!({ "node": node.to_string(), "partitions": partitions })).collect();
    Ok(HttpResponse::Ok().json(json!({ "data": data, "unowned": unowned })))
}

/// How each node is, asked of it.
#[utoipa::path(
    get, path = "/nodes/health", operation_id = "read_nodes_health", tag = "administration",
    responses((status = 200, description = "What each node says of itself. One that does not answer within half a second is said not to be reachable.", body = openapi::NodesHealth))
)]
pub async fn health(api: web::Data<Api>, caller: Caller) -> Answer {
    caller.may(Permission::Operate)?;
    caller.query().only_these(&[])?;
    let said = of_all(&api, About::Health).await?;
    let data: Vec<Value> = said
        .iter()
        .map(|(node, said)| {
            let said_or = said.clone().unwrap_or_default();
            json!({
                "id": node.id.to_string(),
                "reachable": said.is_some(),
                "memory_bytes": said_or.memory_bytes,
                "commits": said.as_ref().map(|said| said.commits),
                "commit_p99_ms": said_or.commit_p99_ms,
                "moves": said_or.moves,
                "just_now": said_or.just_now,
            })
        })
        .collect();
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
        let found = all(&api).await?.into_iter().find(|node| node.id == id);
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

/// All nodes that live.
pub(super) async fn all(api: &Api) -> Result<Vec<NodeRecord>, Problem> {
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
