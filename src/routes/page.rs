//! Pages of lists: `?limit=&cursor=` in, `{"data", "next_cursor"}` out.

use std::str::FromStr;

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::routes::Limits;
use crate::routes::extract::Query;
use crate::routes::problem::Problem;
use crate::store::{Page, PageRequest};

/// The page that a query asks for. A cursor is the last item's id, which
/// clients give back unread.
pub fn request<Id>(query: &Query, limits: &Limits) -> Result<PageRequest<Id>, Problem>
where
    Id: FromStr,
{
    let limit = limit(query, limits)?;
    let after = query
        .get("cursor")
        .map(|text| {
            text.parse().map_err(|_| {
                Problem::invalid_query("cursor", "not a cursor of this list; take `next_cursor` of the page before")
            })
        })
        .transpose()?;
    Ok(PageRequest { after, limit })
}

/// How many entries a query asks for.
pub fn limit(query: &Query, limits: &Limits) -> Result<usize, Problem> {
    let most = limits.page_max;
    let Some(text) = query.get("limit") else { return Ok(limits.page) };
    text.parse()
        .ok()
        .filter(|limit| (1..=most).contains(limit))
        .ok_or_else(|| Problem::invalid_query("limit", format!("a number from 1 to {most} (the limit `page_max`)")))
}

/// A page's answer.
pub fn answer<Item>(
    page: &Page<Item>,
    cursor: impl Fn(&Item) -> String,
    show: impl Fn(&Item) -> Value,
) -> HttpResponse {
    let behind_last = || page.items.last().filter(|_| page.more).map(cursor);
    let next = page.cursor.clone().or_else(behind_last);
    let data: Vec<Value> = page.items.iter().map(show).collect();
    HttpResponse::Ok().json(json!({ "data": data, "next_cursor": next }))
}
