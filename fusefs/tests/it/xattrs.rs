//! Extended attributes.

use plasmite_core::Durability;

use crate::fixture::{Fixture, append};

/// SEMANTICS: Messages have extended attributes
#[test]
fn a_message_tells_its_seq_time_and_tags() {
    let f = Fixture::new();
    let pool = f.pool();
    append(&pool, "{}");
    let receipt = pool.append(b"{}", &["a", "\"b\" c"], Durability::Fast).unwrap();
    for name in ["2", "2.json", "latest"] {
        assert_eq!(
            f.sh(&format!("getfattr -m - -d docs/{name} | sed 1d")).ok().trim_end(),
            format!(
                "user.plasmite.seq=\"2\"\nuser.plasmite.tags=\"[\\\"a\\\",\\\"\\\\\\\"b\\\\\\\" c\\\"]\"\nuser.plasmite.time=\"{}\"",
                receipt.time
            )
        );
    }
    assert_eq!(f.sh("getfattr --only-values -n user.plasmite.tags docs/1").ok(), "[]");
    assert_eq!(f.sh("getfattr -m - docs docs/log docs/errors docs/info.json").ok(), "");
}

/// SEMANTICS: The receipt is an extended attribute
#[test]
fn the_receipt_of_a_written_name_is_the_seq_of_its_last_message() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    let script = "
import os
fd = os.open('docs/in', os.O_WRONLY | os.O_CREAT)
print(os.listxattr('docs/in'))
os.write(fd, b'{}{}{}')
print(os.getxattr('docs/in', 'user.plasmite.seq'), os.getxattr(fd, 'user.plasmite.seq'))
os.write(fd, b'{}')
print(os.getxattr(fd, 'user.plasmite.seq'))
os.close(fd)
print(os.listxattr('docs/in'))";
    std::fs::write(f.root.path().join("s.py"), script).unwrap();
    assert_eq!(f.sh("python3 $ROOT/s.py").ok(), "[]\nb'4' b'4'\nb'5'\n['user.plasmite.seq']\n");
    f.sh("echo '{}' > docs/.x; mv docs/.x docs/x.json").ok();
    assert_eq!(f.sh("getfattr --only-values -n user.plasmite.seq docs/x.json").ok(), "6");
}

/// SEMANTICS: Messages have extended attributes
#[test]
fn sizes_and_errors_of_extended_attributes_are_as_the_manual_says() {
    let f = Fixture::new();
    append(&f.pool(), "{}");
    let script = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    n = getattr(libc, name)(*args)
    return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
buf = ctypes.create_string_buffer(200)
p, t = b'docs/1', b'user.plasmite.time'
print(call('getxattr', p, t, None, 0), call('getxattr', p, t, buf, 29), call('getxattr', p, t, buf, 30))
print(call('listxattr', p, None, 0), call('listxattr', p, buf, 10), call('listxattr', p, buf, 200))
print(call('getxattr', p, b'user.other', buf, 200), call('getxattr', p, b'security.capability', buf, 200), call('getxattr', p, b'system.posix_acl_access', buf, 200))
for p in [b'docs/1', b'docs/log', b'docs', b'.']:
    print(call('setxattr', p, t, b'x', 1, 0), call('removexattr', p, t))
";
    std::fs::write(f.root.path().join("s.py"), script).unwrap();
    assert_eq!(
        f.sh("python3 $ROOT/s.py").ok(),
        "30 ERANGE 30\n56 ERANGE 56\nENODATA ENOTSUP ENOTSUP\n".to_owned()
            + &"ENOTSUP ENOTSUP\n".repeat(4)
    );
    f.sh("echo '{}' > docs/x.json").ok();
    assert!(f.sh("setfattr -n user.a -v b docs/x.json").err.contains("not supported"));
}

/// SEMANTICS: Messages have extended attributes
#[test]
fn a_long_listing_asks_for_extended_attributes_once() {
    let f = Fixture::new();
    let pool = f.pool();
    (0..300).for_each(|_| append(&pool, "{}"));
    let trace = "strace -f -e trace=getxattr,lgetxattr,listxattr,llistxattr -o $ROOT/trace ls -l docs > /dev/null; grep -c xattr $ROOT/trace || true";
    let calls: u32 = f.sh(trace).ok().trim().parse().unwrap();
    assert!(calls <= 3, "{calls} calls for 300 messages");
}
