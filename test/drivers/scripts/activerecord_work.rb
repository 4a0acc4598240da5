require "active_record"

ActiveRecord::Base.establish_connection(adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"],
  database: ENV["PGDATABASE"], username: ENV["PGUSER"], password: ENV["PGPASSWORD"])

class Customer < ActiveRecord::Base
  has_many :orders
end

class Order < ActiveRecord::Base
  belongs_to :customer
end

c = Customer.create!(email: "rails@example.com")
puts c.id
Customer.transaction do
  begin
    Customer.transaction(requires_new: true) { Customer.create!(email: "rails@example.com") }
  rescue ActiveRecord::RecordNotUnique
    puts "duplicate"
  end
  c.update!(name: "R")
  c.orders.create!(total: 3)
end
c.with_lock { c.orders.create!(total: 4) }
puts Customer.create_or_find_by(email: "rails@example.com").id == c.id
puts c.orders.order(:id).pluck(:total).inspect
puts Order.where(customer_id: c.id).update_all(state: "paid")
puts Order.insert_all([{ customer_id: c.id, total: 5 }, { customer_id: c.id, total: 6 }]).length
puts Order.find_each(batch_size: 300).count
c.orders.first.destroy
ActiveRecord::Base.connection.create_table(:tags) { |t| t.string :name, null: false }
puts ActiveRecord::Base.connection.tables.sort.inspect
