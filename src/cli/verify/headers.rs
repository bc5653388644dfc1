//! A request's headers, a line each, as a log or a terminal shows them: which
//! three of them are signatures' business.

/// The headers that a signature needs, as far as they are there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    pub id: Option<String>,
    pub timestamp: Option<String>,
    pub signatures: Option<String>,
}

/// Lines that are no headers of one request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    /// No name, or no colon after it.
    #[error("line {0} is no header: each line is a name, a colon and a value")]
    Line(usize),
    /// An empty line ends a request's headers.
    #[error("line {0} comes after an empty line: only headers belong there, and the body in a file of its own")]
    AfterTheEnd(usize),
    /// One of the three, and no telling which counts.
    #[error("`{0}` is there twice")]
    Twice(&'static str),
}

impl Headers {
    pub(super) fn read(lines: &[u8]) -> Result<Self, HeadersError> {
        let text = String::from_utf8_lossy(lines);
        let mut headers = Self::default();
        let mut ended = false;
        for (number, line) in (1..).zip(text.split('\n')) {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() {
                ended = number > 1;
                continue;
            }
            if ended {
                return Err(HeadersError::AfterTheEnd(number));
            }
            if number == 1 && is_request_line(line) {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or(HeadersError::Line(number))?;
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(HeadersError::Line(number));
            }
            let (name, place) = match name.to_ascii_lowercase().as_str() {
                "webhook-id" => ("webhook-id", &mut headers.id),
                "webhook-timestamp" => ("webhook-timestamp", &mut headers.timestamp),
                "webhook-signature" => ("webhook-signature", &mut headers.signatures),
                _ => continue,
            };
            if place.replace(value.trim_matches([' ', '\t']).to_owned()).is_some() {
                return Err(HeadersError::Twice(name));
            }
        }
        Ok(headers)
    }
}

/// `POST /hook HTTP/1.1`
fn is_request_line(line: &str) -> bool {
    line.rsplit_once(' ').is_some_and(|(request, version)| version.starts_with("HTTP/") && request.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_in_any_case_and_others_passed_over() {
        let lines = b"POST /hook HTTP/1.1\r\nHost: a.example\r\nWebhook-ID: evt_1\r\nWEBHOOK-TIMESTAMP:\t17 \r\n\
                      webhook-signature: v1,a= v1a,b=\r\nx-odd: \xff\r\n\r\n";
        let read = Headers::read(lines).unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(read, Headers { id: text("evt_1"), timestamp: text("17"), signatures: text("v1,a= v1a,b=") });
        assert_eq!(Headers::read(b"").unwrap(), Headers::default());
        assert_eq!(Headers::read(b"\nwebhook-id:\n").unwrap().id, text(""));
    }

    #[test]
    fn what_is_no_header_is_named_by_its_line() {
        for (lines, error) in [
            (&b"host: a\nnothing"[..], HeadersError::Line(2)),
            (b"host: a\n folded: b", HeadersError::Line(2)),
            (b": a", HeadersError::Line(1)),
            (b"webhook-id : a", HeadersError::Line(1)),
            (b"host: a\r\n\r\n{\"a\": 1}", HeadersError::AfterTheEnd(3)),
            (b"webhook-id: a\nWebhook-Id: a", HeadersError::Twice("webhook-id")),
            (b"host: a\nPOST /hook HTTP/1.1", HeadersError::Line(2)),
        ] {
            assert_eq!(Headers::read(lines), Err(error), "{}", lines.escape_ascii());
        }
    }
}
