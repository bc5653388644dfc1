//! URLs that try to reach a forbidden address by being read in two ways: every
//! spelling of a host that some parser somewhere mends, and every way to put a host
//! where another was looked for. Made from the addresses that a test listens on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Texts of the shared corpus, its escapes undone, each as it is and with the port
/// of a listener where its host ends.
pub fn shared(ports: &[u16]) -> Vec<String> {
    let lines = include_str!("../../vectors/ssrf-urls.txt").lines().filter(|line| !line.starts_with('#'));
    let mut urls = Vec::new();
    for line in lines {
        let url = line.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r");
        if let Some((scheme, rest)) = url.split_once("://") {
            let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            urls.extend(ports.iter().map(|port| format!("{scheme}://{authority}:{port}{path}")));
        }
        urls.push(url);
    }
    urls
}

/// The corpus of our own.
pub fn own(listeners: &[SocketAddr]) -> Vec<String> {
    let mut urls = Vec::new();
    for listener in listeners {
        let port = listener.port();
        let (plain, spellings) = match listener.ip() {
            IpAddr::V4(address) => (address.to_string(), spellings_v4(address)),
            IpAddr::V6(address) => (format!("[{address}]"), spellings_v6(address)),
        };
        for host in spellings.iter().chain(&names(listener.ip())) {
            urls.extend([format!("http://{host}:{port}/"), format!("https://{host}:{port}/hook?a=b")]);
        }
        urls.extend(clothings(&plain, port));
        urls.extend(mutations(&format!("http://{plain}:{port}/"), u64::from(port)));
    }
    urls
}

fn spellings_v4(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = u32::from(address);
    let (high, low) = (number >> 16, number & 0xffff);
    let last = number & 0xff_ffff;
    let digits = |zero: char| -> String {
        let shift = |digit: char| char::from_u32(zero as u32 + digit as u32 - '0' as u32).expect("digits are in a row");
        address.to_string().chars().map(|digit| if digit == '.' { digit } else { shift(digit) }).collect()
    };
    let circled: String = address
        .to_string()
        .chars()
        .map(|digit| match digit {
            '0' => '⓪',
            '1'..='9' => char::from_u32('①' as u32 + digit as u32 - '1' as u32).expect("they are in a row"),
            other => other,
        })
        .collect();
    let encoded: String = address.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        address.to_string(),
        format!("{address}."),
        format!("{address}.."),
        format!(".{address}"),
        format!("{number}"),
        format!("{number}."),
        format!("{}", u64::from(number) + (1 << 32)),
        format!("{number:#x}"),
        format!("{number:#X}"),
        format!("0x{number:016x}"),
        format!("0{number:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a:#x}.{b}.0{c:o}.{d}"),
        format!("{a}.{last}"),
        format!("{a}.{b}.{low}"),
        format!("{a:#x}.{last:#x}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("0000{a}.{b}.{c}.{d}"),
        format!("{}.{b}.{c}.{d}", u16::from(a) + 256),
        format!("{a}.{b}.{c}.{d}.0"),
        format!("{a}。{b}。{c}。{d}"),
        format!("{a}．{b}．{c}．{d}"),
        format!("{a}｡{b}｡{c}｡{d}"),
        digits('０'),
        digits('𝟎'),
        digits('𝟘'),
        circled,
        encoded,
        format!("{a}%2e{b}%2e{c}%2e{d}"),
        format!("{a}.{b}.{c}.{d}%00"),
        format!("{a}.{b}.{c}.{d}%20"),
        format!("{a}.{b}.{c}\u{ad}.{d}"),
        format!("{a}.{b}\u{200b}.{c}.{d}"),
        format!("\u{feff}{address}"),
        format!("[{address}]"),
        format!("[::ffff:{address}]"),
        format!("[::FFFF:{high:x}:{low:x}]"),
        format!("[0:0:0:0:0:ffff:{address}]"),
        format!("[::{address}]"),
        format!("[::{high:x}:{low:x}]"),
        format!("[::ffff:0:{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[64:ff9b:1::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:4136:e378:8000:63bf:{:x}:{:x}]", !high & 0xffff, !low & 0xffff),
        format!("[fe80::5efe:{address}]"),
        format!("[2001:db8::5efe:{address}]"),
        format!("[::ffff:{address}%25lo]"),
        format!("::ffff:{address}"),
    ]
}

fn spellings_v6(address: Ipv6Addr) -> Vec<String> {
    let long = address.segments().map(|segment| format!("{segment:04x}")).join(":");
    let literal = address.to_string();
    vec![
        format!("[{literal}]"),
        format!("[{long}]"),
        format!("[{}]", long.to_uppercase()),
        format!("[{literal}].."),
        format!("[{literal}]."),
        format!("[{literal}%25lo]"),
        format!("[{literal}%lo]"),
        format!("[{literal}%250]"),
        format!("%5b{literal}%5d"),
        format!("[{}]", literal.replace(':', "%3a")),
        format!("［{literal}］"),
        format!("[[{literal}]]"),
        format!("[v1.{literal}]"),
        literal,
    ]
}

/// Names that lead there, or look as if they did not. The test's own name server
/// makes sure that those which can be resolved lead inside.
fn names(address: IpAddr) -> Vec<String> {
    // No label of a name may begin with a hyphen.
    let dashed = format!("ip{}", address.to_string().replace(['.', ':'], "-"));
    vec![
        format!("{dashed}.sslip.test"),
        format!("x{dashed}x.example.com"),
        format!("app.{dashed}.nip.test"),
        format!("a.b.c.d.e.f.g.h.{dashed}.example.org"),
        "localhost".to_owned(),
        "LOCALHOST".to_owned(),
        "localhost.".to_owned(),
        "localhost..".to_owned(),
        "app.localhost".to_owned(),
        "localhost.localdomain".to_owned(),
        "ip6-localhost".to_owned(),
        "ip6-loopback".to_owned(),
        "loopback".to_owned(),
        "broadcasthost".to_owned(),
        "ｌｏｃａｌｈｏｓｔ".to_owned(),
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ".to_owned(),
        "loc\u{ad}alhost".to_owned(),
        "local%68ost".to_owned(),
        "localhost%00".to_owned(),
        "localhost%2eexample.com".to_owned(),
        "LOCALHOST.example.com".to_owned(),
        "metadata.google.internal".to_owned(),
        "instance-data.ec2.internal".to_owned(),
        "printer.local".to_owned(),
        "kubernetes.default.svc.cluster.local".to_owned(),
        "host.docker.internal".to_owned(),
        "xn--localhost-.example.com".to_owned(),
        "bücher.example".to_owned(),
        "_acme-challenge.example.com".to_owned(),
        "0".to_owned(),
        "0.0.0.0".to_owned(),
        "[::]".to_owned(),
        "[::0]".to_owned(),
        "0x0".to_owned(),
    ]
}

/// A host in all the places where one parser sees a host and another does not.
fn clothings(host: &str, port: u16) -> Vec<String> {
    let at = format!("{host}:{port}");
    vec![
        format!("HTTP://{at}"),
        format!("http:{at}/"),
        format!("http:/{at}/"),
        format!("http:///{at}/"),
        format!("http:////{at}/"),
        format!("http:\\\\{at}\\"),
        format!("http:/\\{at}/"),
        format!("http://\\{at}/"),
        format!("http://{at}\\@example.com/"),
        format!("http://example.com\\@{at}/"),
        format!("http://example.com@{at}/"),
        format!("http://example.com:80@{at}/"),
        format!("http://user:password@{at}/"),
        format!("http://@{at}/"),
        format!("http://:@{at}/"),
        format!("http://a@b@{at}/"),
        format!("http://{at}@example.com/"),
        format!("http://{at}#@example.com/"),
        format!("http://{at}#.example.com/"),
        format!("http://example.com#@{at}/"),
        format!("http://example.com?@{at}#/"),
        format!("http://{at}?.example.com/"),
        format!("http://{at}/.example.com/"),
        format!("http://{at}:80/"),
        format!("http://{host}:80:{port}/"),
        format!("http://{host}:0{port}/"),
        format!("http://{host}:+{port}/"),
        format!("http://{host}:{port}x/"),
        format!("http://{host}:{}/", u32::from(port) + 65_536),
        format!("http://{host}: {port}/"),
        format!("http://{host} :{port}/"),
        format!("http://{host}:\t{port}/"),
        format!(" http://{at}/"),
        format!("\u{a0}http://{at}/"),
        format!("\u{1}http://{at}/"),
        format!("http://{at}/ "),
        format!("http://{at}/\r\nhost: example.com"),
        format!("http://\t{at}/"),
        format!("ht\ntp://{at}/"),
        format!("h\rttp://{at}/"),
        format!("http://\0{at}/"),
        format!("http://example.com%2f@{at}/"),
        format!("http://example.com%40{at}/"),
        format!("http://example.com%00{at}/"),
        format!("http://{host}%00.example.com:{port}/"),
        format!("http://{host}%09:{port}/"),
        format!("http://{host}%3a{port}/"),
        format!("//{at}/"),
        format!("\\\\{at}\\share"),
        format!("{at}/"),
        format!("://{at}/"),
        format!("url:http://{at}/"),
        format!("jar:http://{at}!/"),
        format!("view-source:http://{at}/"),
        format!("feed:http://{at}/"),
        format!("http+unix://{at}/"),
        format!("httpx://{at}/"),
        format!("ftp://{at}/"),
        format!("file://{at}/etc/passwd"),
        format!("gopher://{at}/_x"),
        format!("dict://{at}/"),
        format!("ldap://{at}/"),
        format!("tftp://{at}/"),
        format!("ws://{at}/"),
        format!("wss://{at}/"),
        format!("data:text/plain,http://{at}/"),
        format!("javascript:fetch('http://{at}/')"),
    ]
}

/// Characters that parsers drop, mend or end a part at, put anywhere. None of them
/// makes another plain address of one, so that no test ever calls a real stranger.
fn mutations(url: &str, seed: u64) -> Vec<String> {
    const ODD: [&str; 24] = [
        "\t", "\n", "\r", "\0", " ", "\u{a0}", "\u{ad}", "\u{200b}", "\u{2060}", "\u{feff}", "\\", "/", "@", "#", "?",
        ":", "%", "%00", "%2e", "[", "]", "。", "；", "\u{202e}",
    ];
    let mut dice = fastrand::Rng::with_seed(seed);
    let characters: Vec<char> = url.chars().collect();
    (0..120)
        .map(|_| {
            let mut text: Vec<String> = characters.iter().map(char::to_string).collect();
            for _ in 0..dice.usize(1..=3) {
                text.insert(dice.usize(..=text.len()), ODD[dice.usize(..ODD.len())].to_owned());
            }
            text.concat()
        })
        .collect()
}
