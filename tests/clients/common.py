"""What the scripts of redis-py have in common: arguments, steps, what is expected."""

import itertools
import sys
import traceback

if len(sys.argv) != 3:
    sys.exit(f"usage: {sys.argv[0]} PORT PASSWORD_PORT (a server that wants the password {'sesame'!r})")

PORT, PASSWORD_PORT = map(int, sys.argv[1:])
PASSWORD = "sesame"
PROTOCOLS = (2, 3)
# Scripts write where everything is flushed in the end: which keys they change cannot always be known.
SCRIPTS_DB = 9
# Round trips after which a request of another connection, sent before, has arrived as well. Were it not so, the step
# would still be right: it would only show less.
ROUND_TRIPS = 50
MEGABYTE = bytes(range(256)) * 4096
NAME = "matrix"
FUNCTIONS = "#!lua name=matrix\nredis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)"


def expect(found, wanted):
    if plain(found) != plain(wanted):
        raise AssertionError(f"{shown(found)} is not {shown(wanted)}")


def plain(value):
    """Tuples as lists, and text as bytes: which of them a reply is made of is the library's own affair."""
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.encode() if isinstance(value, str) else value


def shown(value):
    text = repr(value)
    return text if len(text) < 400 else f"{text[:400]}... ({len(text)} characters)"


class Refused:
    """A block that has to fail with an error of one of the kinds, whose text holds a word."""

    def __init__(self, kinds, word):
        self.kinds, self.word = kinds, word

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is None:
            raise AssertionError(f"no error with {self.word}")
        if isinstance(error, self.kinds):
            if self.word not in str(error):
                raise AssertionError(f"an error without {self.word}: {error}")
            return True
        return False


def wait_for_restart():
    """Lets the caller restart what the port belongs to, and waits until it says, with a line, that it has."""
    print("ready to restart", flush=True)
    if not sys.stdin.readline():
        sys.exit("nobody says that there was a restart")


def run(steps, call=lambda step, protocol: step(protocol)):
    """Each step in each protocol, and a line when it is done. The first that fails is the last."""
    for protocol, step in itertools.product(PROTOCOLS, steps):
        try:
            call(step, protocol)
        except Exception:
            traceback.print_exc()
            sys.exit(f"FAILED {protocol} {step.__name__}")
        print(f"ok {protocol} {step.__name__}", flush=True)
