//! One node of several on the same store, as far as a process of its own can be
//! one: its API is called without a socket, and what other nodes do is done
//! through the journal, behind the back of all that the API keeps in memory.

mod node;

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use actix_web::App;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use futures_util::FutureExt as _;
use posthaste::domain::{Environment, Role};
use posthaste::routes::{Coherence, configure};
use posthaste::store::Transaction;
use serde_json::json;

use node::{OPERATOR, among_nodes, node, of_total, order};

#[test]
fn a_key_revoked_elsewhere_opens_nothing_at_once() {
    among_nodes(async |node| {
        let (id, key) = node.key_made_elsewhere(Role::Partner).await;
        assert_eq!((node.get("/webhook", &key).await, node.get("/webhook", &key).await), (200, 200));
        node.revoked_elsewhere(id).await;
        assert_eq!(node.get("/webhook", &key).await, 401);

        let (id, key) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!((node.post(&key, &order(1)).await, node.post(&key, &order(2)).await), (202, 202));
        node.revoked_elsewhere(id).await;
        assert_eq!((node.post(&key, &order(3)).await, node.events_kept()), (401, 2));

        // Also where no transaction would have said so.
        let (id, key) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!(node.post(&key, &order("much")).await, 422);
        node.revoked_elsewhere(id).await;
        assert_eq!(node.post(&key, &order("much")).await, 401);

        let (id, key) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!(node.post_batch(&key, &[order(1)]).await, [202]);
        node.revoked_elsewhere(id).await;
        for event in [order(1), order("much")] {
            assert_eq!(node.send(Method::POST, "/events/batch", &key, &event.to_string()).await.0, 401);
        }
        assert_eq!(node.events_kept(), 3);
    });
}

#[test]
fn a_key_made_elsewhere_opens_at_once() {
    among_nodes(async |node| {
        let (_, known) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!(node.post(&known, &order(1)).await, 202);
        let (_, key) = node.key_made_elsewhere(Role::Partner).await;
        assert_eq!(node.get("/webhook", &key).await, 200);
        let (_, key) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!((node.post(&key, &order(1)).await, node.post_batch(&key, &[order(1)]).await), (202, vec![202]));
        // A role is looked at again, not only whether there is a key.
        let (_, key) = node.key_made_elsewhere(Role::Partner).await;
        assert_eq!((node.post(&key, &order(1)).await, node.events_kept()), (403, 3));
    });
}

#[test]
fn a_catalog_changed_elsewhere_is_in_force_at_once() {
    among_nodes(async |node| {
        let path = "/event-types/order.sent";
        let sent = json!({ "event": "order.sent", "total": 1 });
        assert_eq!((node.get(path, OPERATOR).await, node.post(OPERATOR, &sent).await), (404, 422));
        node.type_put_elsewhere(of_total("order.sent", "number")).await;
        assert_eq!(node.post(OPERATOR, &sent).await, 202);
        node.type_deleted_elsewhere("order.sent").await;
        assert_eq!((node.post(OPERATOR, &sent).await, node.get(path, OPERATOR).await), (422, 404));
        // And where a reader is the first to ask.
        node.type_put_elsewhere(of_total("order.sent", "number")).await;
        assert_eq!((node.get(path, OPERATOR).await, node.post(OPERATOR, &sent).await), (200, 202));

        // What was right becomes wrong, and the other way about.
        assert_eq!((node.post(OPERATOR, &order(1)).await, node.post(OPERATOR, &order("one")).await), (202, 422));
        node.type_put_elsewhere(of_total("order.paid", "string")).await;
        assert_eq!(node.post(OPERATOR, &order(1)).await, 422);
        node.type_put_elsewhere(of_total("order.paid", "number")).await;
        assert_eq!((node.post(OPERATOR, &order(1)).await, node.events_kept()), (202, 4));
    });
}

#[test]
fn each_line_of_a_batch_is_judged_by_the_catalog_that_holds() {
    among_nodes(async |node| {
        let lines = [order(1), order("one"), order(2)];
        assert_eq!(node.post_batch(OPERATOR, &lines).await, [202, 422, 202]);
        node.type_put_elsewhere(of_total("order.paid", "string")).await;
        assert_eq!(node.post_batch(OPERATOR, &lines).await, [422, 202, 422]);
        // Nothing of it was good when this node looked.
        node.type_put_elsewhere(of_total("order.paid", "boolean")).await;
        assert_eq!(node.post_batch(OPERATOR, &lines).await, [422, 422, 422]);
        node.type_put_elsewhere(of_total("order.paid", "number")).await;
        assert_eq!(node.post_batch(OPERATOR, &lines).await, [202, 422, 202]);
        assert_eq!(node.events_kept(), 5);
    });
}

#[test]
fn what_changes_before_the_commit_lets_a_request_in_anew() {
    among_nodes(async |node| {
        // Somebody else's key: the request is as good as it was, and kept once.
        let (other, _) = node.key_made_elsewhere(Role::Producer).await;
        let (own, key) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!(node.post(&key, &order(1)).await, 202);
        let done = node.meddle(1, move |transaction| transaction.revoke_key(other).map(drop));
        assert_eq!((node.post(&key, &order(2)).await, done.load(Ordering::SeqCst), node.events_kept()), (202, 1, 2));

        // Its event's type.
        let narrow = || {
            |transaction: &mut dyn Transaction| {
                transaction.put_event_types(Environment::Production, &[of_total("order.paid", "string")]).map(drop)
            }
        };
        let done = node.meddle(1, narrow());
        assert_eq!((node.post(&key, &order(3)).await, done.load(Ordering::SeqCst), node.events_kept()), (422, 1, 2));
        node.type_put_elsewhere(of_total("order.paid", "number")).await;
        assert_eq!(node.post(&key, &order(3)).await, 202);
        node.meddle(1, narrow());
        assert_eq!(node.post_batch(&key, &[order(4), order("four")]).await, [422, 202]);
        node.type_put_elsewhere(of_total("order.paid", "number")).await;

        // Its own key.
        assert_eq!((node.post(&key, &order(5)).await, node.events_kept()), (202, 5));
        let done = node.meddle(1, move |transaction| transaction.revoke_key(own).map(drop));
        assert_eq!((node.post(&key, &order(6)).await, done.load(Ordering::SeqCst), node.events_kept()), (401, 1, 5));
    });
}

#[test]
fn a_request_is_let_in_three_times_and_then_sent_away() {
    among_nodes(async |node| {
        assert_eq!(node.post(OPERATOR, &order(1)).await, 202);
        // It takes nothing away from this request, and is to be looked at all the same.
        let touch = |transaction: &mut dyn Transaction| {
            transaction.put_event_types(Environment::Production, &[of_total("order.sent", "number")]).map(drop)
        };
        let done = node.meddle(2, touch);
        assert_eq!((node.post(OPERATOR, &order(2)).await, done.load(Ordering::SeqCst)), (202, 2));

        for (path, kept) in [("/events", 2), ("/events/batch", 2)] {
            let done = node.meddle(usize::MAX, touch);
            let (status, problem) = node.send(Method::POST, path, OPERATOR, &order(3).to_string()).await;
            assert_eq!((status, done.load(Ordering::SeqCst), node.events_kept()), (503, 3, kept), "{problem}");
            assert_eq!(problem["type"], "urn:posthaste:problem:store-unavailable");
        }
        node.meddle(0, touch);
        assert_eq!((node.post(OPERATOR, &order(3)).await, node.events_kept()), (202, 3));
    });
}

#[test]
fn a_repeated_request_is_not_posted_twice_for_being_let_in_anew() {
    among_nodes(async |node| {
        let app = App::new().app_data(node.api.clone()).configure(configure);
        let service = init_service(app).await;
        let mut answers = Vec::new();
        for times in [1, 0, 1] {
            node.meddle(times, |transaction| {
                transaction.put_event_types(Environment::Production, &[of_total("order.sent", "number")]).map(drop)
            });
            let request = TestRequest::post()
                .uri("/events")
                .insert_header(("authorization", format!("Bearer {OPERATOR}")))
                .insert_header(("idempotency-key", "once"))
                .set_json(order(1));
            let response = call_service(&service, request.to_request()).await;
            assert_eq!(response.status(), 202);
            answers.push(read_body(response).await);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(node.events_kept(), 1);
    });
}

#[test]
fn where_one_process_has_the_store_nothing_is_compared() {
    node(Coherence::alone, async |node| {
        // Nobody can do this to a store that is one process's; that it goes
        // unnoticed shows that nothing was asked of the store.
        let (id, key) = node.key_made_elsewhere(Role::Partner).await;
        let (posting_id, posting) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!((node.get("/webhook", &key).await, node.post(&posting, &order(1)).await), (200, 202));
        node.revoked_elsewhere(id).await;
        node.revoked_elsewhere(posting_id).await;
        node.type_deleted_elsewhere("order.paid").await;
        assert_eq!((node.get("/webhook", &key).await, node.post(&posting, &order(2)).await), (200, 202));

        // What goes through this node holds at once, as ever.
        let (id, key) = node.key_made_elsewhere(Role::Partner).await;
        assert_eq!(node.get("/webhook", &key).await, 200);
        assert_eq!(node.send(Method::DELETE, &format!("/keys/{id}"), OPERATOR, "").await.0, 204);
        assert_eq!(node.get("/webhook", &key).await, 401);
    });
}

#[test]
fn what_a_plain_thread_has_seen_is_read_anew() {
    among_nodes(async |node| {
        let (id, key) = node.key_made_elsewhere(Role::Producer).await;
        assert_eq!(node.post(&key, &order(1)).await, 202);
        node.revoked_elsewhere(id).await;
        node.type_put_elsewhere(of_total("order.sent", "number")).await;
        let (api, versions) = (node.api.clone(), node.api.store.versions().unwrap());
        std::thread::spawn(move || api.versions_seen(&versions)).join().unwrap();
        assert_eq!(node.api.auth.authenticate(&key).await.unwrap(), None);
        assert_eq!(node.api.auth.keys_version(), versions.keys);

        let name = "order.sent".parse().unwrap();
        let until_known = async {
            while node.api.catalogs.of(Environment::Production).get(&name).is_none() {
                actix_rt::task::yield_now().await;
            }
        };
        actix_rt::time::timeout(Duration::from_secs(10), until_known).await.expect("it is read within 10 s");
        assert_eq!(node.api.catalogs.dated(Environment::Production).version, versions.catalogs[1]);
    });
}

#[test]
fn what_was_read_of_a_key_before_a_change_is_not_kept_after_it() {
    among_nodes(async |node| {
        let auth = &node.api.auth;
        let (id, key) = node.key_made_elsewhere(Role::Producer).await;
        // There is one thread that reads, and it stands still until the key is
        // next in its queue.
        let reading = node.api.store.reading();
        let (open, gate) = mpsc::channel::<()>();
        let mut before_it = Box::pin(reading.run(move || Ok(gate.recv().is_err())));
        let mut slow = Box::pin(auth.authenticate(&key));
        assert!(before_it.as_mut().now_or_never().is_none());
        assert!(slow.as_mut().now_or_never().is_none());
        drop(open);
        assert!(before_it.await.unwrap());
        // Behind this, the key has been read.
        reading.run(|| Ok(())).await.unwrap();
        let before = auth.keys_version();
        node.revoked_elsewhere(id).await;
        auth.keys_changed().await;
        let found = slow.await.unwrap().expect("it was live when it was read");
        assert_eq!(found.keys_version, before, "and says since when that is known");
        assert!(auth.keys_version() > before);
        assert_eq!(auth.authenticate(&key).await.unwrap(), None);
    });
}

#[test]
fn what_is_kept_of_keys_goes_with_their_version_only() {
    among_nodes(async |node| {
        let auth = &node.api.auth;
        let (id, key) = node.key_made_elsewhere(Role::Producer).await;
        auth.keys_seen(node.api.store.versions().unwrap().keys);
        let first = auth.authenticate(&key).await.unwrap().unwrap();
        node.revoked_elsewhere(id).await;
        auth.keys_seen(first.keys_version);
        assert_eq!(auth.authenticate(&key).await.unwrap(), Some(first), "it is kept, and says how old it is");
        auth.keys_seen(node.api.store.versions().unwrap().keys);
        assert_eq!(auth.authenticate(&key).await.unwrap(), None);
    });
}

#[test]
fn uses_of_keys_are_written_down_and_outlive_what_is_kept_of_keys() {
    among_nodes(async |node| {
        let (one, key) = node.key_made_elsewhere(Role::Producer).await;
        let (other, other_key) = node.key_made_elsewhere(Role::Producer).await;
        let (unused, _) = node.key_made_elsewhere(Role::Producer).await;
        let used = |id| node.api.store.key(id).unwrap().unwrap().last_used_at;
        let write = async || node.api.auth.write_uses(&node.api.journal).await.unwrap();
        let begun = node.api.clock.wall();
        assert_eq!(node.post(&key, &order(1)).await, 202);
        assert_eq!(used(one), None, "a request writes nothing of it");
        write().await;
        assert!(used(one).is_some_and(|at| at >= begun && at <= node.api.clock.wall()));
        let first = used(one);

        // Another node's change has all keys forgotten before that was written.
        assert_eq!(node.post(&other_key, &order(2)).await, 202);
        node.revoked_elsewhere(unused).await;
        assert_eq!(node.get("/webhook", OPERATOR).await, 200);
        write().await;
        assert!(used(other).is_some());
        assert_eq!((used(one), used(unused)), (first, None));

        // What opens nothing is not used.
        node.revoked_elsewhere(one).await;
        assert_eq!(node.post(&key, &order(3)).await, 401);
        write().await;
        assert_eq!(used(one), first);
    });
}
