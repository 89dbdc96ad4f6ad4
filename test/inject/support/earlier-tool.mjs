import http from 'node:http'

// as tools for tracing do: a class of servers gets an `emit` of its own
const { emit } = http.Server.prototype
http.Server.prototype.emit = function (event, ...args) {
  if (event === 'request') console.log('seen by the tool')
  return emit.call(this, event, ...args)
}
