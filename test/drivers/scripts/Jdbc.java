import java.sql.*;

public class Jdbc {
    public static void main(String[] args) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
            + System.getenv("PGDATABASE") + "?sslmode=disable";
        try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"))) {
            System.out.println(c.isValid(5));
            try (PreparedStatement s = c.prepareStatement("INSERT INTO customers (email) VALUES (?)",
                    Statement.RETURN_GENERATED_KEYS)) {
                s.setString(1, "jdbc@example.com");
                s.executeUpdate();
                ResultSet keys = s.getGeneratedKeys();
                keys.next();
                System.out.println(keys.getLong(1));
                try {
                    s.executeUpdate();
                } catch (SQLException e) {
                    System.out.println(e.getSQLState());
                }
            }
            for (int i = 0; i < 8; i++) { // prepared by name at the fifth
                try (PreparedStatement s = c.prepareStatement("INSERT INTO orders (note, customer_id) VALUES (?, ?)")) {
                    s.setString(1, "j");
                    s.setLong(2, i + 1);
                    System.out.println(s.executeUpdate());
                }
            }
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO jobs (payload) VALUES (?::jsonb)")) {
                for (int i = 0; i < 20; i++) {
                    s.setString(1, "{\"j\": " + i + "}");
                    s.addBatch();
                }
                System.out.println(s.executeBatch().length);
            }
            Savepoint sp = c.setSavepoint();
            try (Statement s = c.createStatement()) {
                s.executeUpdate("INSERT INTO customers (email) VALUES ('jdbc@example.com')");
            } catch (SQLException e) {
                c.rollback(sp);
                System.out.println(e.getSQLState());
            }
            c.commit();
            try (Statement s = c.createStatement()) {
                s.setFetchSize(50);
                ResultSet r = s.executeQuery("SELECT id FROM orders ORDER BY id");
                long n = 0;
                while (r.next()) n++;
                System.out.println(n);
            }
            c.commit();
            c.setAutoCommit(true);
            org.postgresql.copy.CopyManager copy = c.unwrap(org.postgresql.PGConnection.class).getCopyAPI();
            try (Statement s = c.createStatement()) {
                s.execute("CREATE TEMP TABLE incoming (payload jsonb)");
            }
            System.out.println(copy.copyIn("COPY incoming (payload) FROM STDIN", new java.io.StringReader("{\"c\": 1}\n{\"c\": 2}\n")));
            ResultSet t = c.getMetaData().getColumns(null, "public", "orders", null);
            while (t.next()) System.out.println(t.getString("COLUMN_NAME"));
            System.out.println(c.isValid(5));
        }
    }
}
