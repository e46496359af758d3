// Starts a MongoDB-compatible server for tests: java -cp 'lib/*' Launcher.java --port 0 [--file PATH]
//
// Prints "ready <port>" once it listens on the loopback interface, and ends when its
// standard input does, so that no server outlives its test.

import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;
import java.util.Set;

public final class Launcher {

    /** What drivers of today still talk to; the server's own newest version is older. */
    private static final class Version implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(4, 4, 0);
        }

        @Override
        public int getWireVersion() {
            return 9;
        }
    }

    /** Keeps every acknowledged write: the H2 store alone commits once a second. */
    private static final class DurableBackend extends H2Backend {
        private static final Set<String> WRITES = Set.of(
                "insert", "update", "delete", "findandmodify",
                "create", "createindexes", "drop", "dropdatabase", "dropindexes");

        DurableBackend(String file) {
            super(file);
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            Document answer = super.handleMessage(message);
            String command = message.getDocument().keySet().iterator().next();
            if (WRITES.contains(command.toLowerCase())) {
                commit();
            }
            return answer;
        }
    }

    public static void main(String[] arguments) throws Exception {
        int port = 0;
        String file = null;
        for (int at = 0; at < arguments.length; at += 2) {
            if (at + 1 == arguments.length) {
                throw new IllegalArgumentException(arguments[at] + " needs a value");
            }
            switch (arguments[at]) {
                case "--port" -> port = Integer.parseInt(arguments[at + 1]);
                case "--file" -> file = arguments[at + 1];
                default -> throw new IllegalArgumentException("unknown option " + arguments[at]);
            }
        }
        MongoBackend backend = file == null ? new MemoryBackend() : new DurableBackend(file);
        backend.version(new Version());
        MongoServer server = new MongoServer(backend);
        server.enableOplog();
        server.bind("127.0.0.1", port);
        System.out.println("ready " + server.getLocalAddress().getPort());
        while (System.in.read() != -1) {
            // Only the end of the input matters.
        }
        server.shutdownNow();
        System.exit(0);
    }
}
