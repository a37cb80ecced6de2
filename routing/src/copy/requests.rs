//! Writing the requests of a copy, with long lists of elements cut into several.

use super::CopyError;

/// Most elements of one request, so that no request keeps a server busy for long: about 0.1 ms for small ones.
const ELEMENTS_MAX: usize = 512;
/// Bytes of elements after which a request ends. A single element may be longer. Unit: bytes.
const BYTES_MAX: usize = 1 << 20;

/// Requests, and how many they are.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) count: u32,
}

impl Requests<'_> {
    pub(super) fn send(&mut self, args: &[&[u8]]) {
        interlay_resp::encode_request(args, self.out);
        self.count += 1;
    }

    /// Sends `head`, `elements` of `N` arguments each and `tail`, as often as it takes; not at all if there is no element.
    pub(super) fn batches<'e, const N: usize>(
        &mut self,
        head: &[&'e [u8]],
        elements: impl IntoIterator<Item = Result<[&'e [u8]; N], CopyError>>,
        tail: &[&'e [u8]],
    ) -> Result<(), CopyError> {
        let mut args = head.to_vec();
        let mut bytes = 0;
        for element in elements {
            let element = element?;
            let added: usize = element.iter().map(|arg| arg.len()).sum();
            if args.len() > head.len() && (args.len() - head.len() >= ELEMENTS_MAX * N || bytes + added > BYTES_MAX) {
                self.batch(&mut args, head.len(), tail);
                bytes = 0;
            }
            args.extend_from_slice(&element);
            bytes += added;
        }
        if args.len() > head.len() {
            self.batch(&mut args, head.len(), tail);
        }
        Ok(())
    }

    fn batch<'e>(&mut self, args: &mut Vec<&'e [u8]>, head: usize, tail: &[&'e [u8]]) {
        args.extend_from_slice(tail);
        self.send(args);
        args.truncate(head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(elements: &[&[u8]]) -> Vec<usize> {
        let mut out = Vec::new();
        let mut requests = Requests { out: &mut out, count: 0 };
        requests.batches(&[b"RPUSH", b"k"], elements.iter().map(|element| Ok([*element])), &[b"tail"]).expect("elements");
        let count = requests.count;
        let lengths: Vec<usize> = interlay_resp::requests(&out).map(|request| request.argc() - 3).collect();
        assert_eq!(lengths.len(), count as usize);
        lengths
    }

    #[test]
    fn requests_are_bounded_by_elements_and_bytes() {
        assert!(lengths(&[]).is_empty());
        assert_eq!(lengths(&[b"x".as_slice(); 1025]), [512, 512, 1]);
        let half = vec![b'x'; BYTES_MAX / 2];
        let over = vec![b'x'; BYTES_MAX + 1];
        assert_eq!(lengths(&[&half, &half, b"y", &over, b"z"]), [2, 1, 1, 1]);
    }
}
