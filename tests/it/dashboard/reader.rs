//! A browser without a script: it keeps cookies, and sends forms as they stand in a page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::support::http::{Client, Response};
use crate::support::node::Node;

pub struct Reader {
    client: Client,
    cookies: RefCell<BTreeMap<String, String>>,
    /// The token of the last page that had one.
    token: RefCell<String>,
}

impl Reader {
    /// Whoever has not signed in.
    pub fn nobody(node: &Node) -> Self {
        Self::at(node.address)
    }

    fn at(address: SocketAddr) -> Self {
        let client = Client { address, key: None };
        Self { client, cookies: RefCell::default(), token: RefCell::default() }
    }

    /// Whoever has, with this key.
    pub fn signed_in(node: &Node, key: &str) -> Self {
        Self::signed_in_at(node.address, key)
    }

    /// The same, at any node.
    pub fn signed_in_at(address: SocketAddr, key: &str) -> Self {
        let reader = Self::at(address);
        let answer = reader.sign_in(key, "/dashboard");
        assert_eq!(answer.status, 303, "{}", answer.body);
        reader.get("/dashboard");
        reader
    }

    /// Sends the form of the sign-in page.
    pub fn sign_in(&self, key: &str, next: &str) -> Response {
        self.post_as_it_is("/dashboard/login", &[("key", key), ("next", next)])
    }

    /// A page, wherever it leads.
    #[track_caller]
    pub fn follow(&self, path: &str) -> Response {
        let mut answer = self.get(path);
        for _ in 0..5 {
            let Some(to) = answer.header("location").map(str::to_owned).filter(|_| answer.status == 303) else {
                return answer;
            };
            answer = self.get(&to);
        }
        panic!("{path} leads around in circles")
    }

    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    /// The same with more headers.
    pub fn get_with(&self, path: &str, more: &[(&str, &str)]) -> Response {
        let cookie = self.cookie();
        let mut headers: Vec<(&str, &str)> = cookie.as_deref().map(|cookie| ("cookie", cookie)).into_iter().collect();
        headers.extend_from_slice(more);
        self.heard(self.client.send("GET", path, &headers, b""))
    }

    /// A form, with the token of the last page.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let token = self.token.borrow().clone();
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        self.post_as_it_is(path, &fields)
    }

    /// A form, and the page that it leads to.
    #[track_caller]
    pub fn post_and_follow(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let answer = self.post(path, fields);
        assert_eq!(answer.status, 303, "{}", answer.body);
        self.follow(answer.header("location").expect("it leads somewhere"))
    }

    /// A form without a token.
    pub fn post_as_it_is(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.post_with(path, fields, &[])
    }

    /// The same with more headers.
    pub fn post_with(&self, path: &str, fields: &[(&str, &str)], more: &[(&str, &str)]) -> Response {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let cookie = self.cookie();
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
        headers.extend_from_slice(more);
        self.heard(self.client.send("POST", path, &headers, body.as_bytes()))
    }

    fn cookie(&self) -> Option<String> {
        let cookies = self.cookies.borrow();
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Keeps cookies and the token of what came.
    fn heard(&self, answer: Response) -> Response {
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (pair, attributes) = cookie.split_once(';').expect("a cookie has attributes");
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            if attributes.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some((_, rest)) = answer.body.split_once("name=\"token\" value=\"") {
            *self.token.borrow_mut() = rest.split('"').next().unwrap().to_owned();
        }
        answer
    }

    /// A cookie as it is kept.
    pub fn kept(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    /// Keeps another value.
    pub fn keep(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }
}

/// All addresses of our own pages that a page links to.
pub fn links(page: &Response) -> Vec<String> {
    let mut links: Vec<String> = page
        .body
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with("/dashboard") && !link.contains("/static/"))
        .map(|link| link.replace("&amp;", "&"))
        .collect();
    links.sort();
    links.dedup();
    links
}
