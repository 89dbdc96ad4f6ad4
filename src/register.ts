/**
 * `node --import inmesh/register app.js`: puts an application on the default mesh, and nothing in it changes. What it calls by Node's own `fetch`, undici,
 * node:http, node:https and grpc-js goes through the mesh; what is asked of its servers, of node:http, https, http2, Express, Fastify and grpc-js, is
 * received by it.
 *
 * `INMESH_ANNOUNCE` enters its servers in the machine's registry and secures them, `INMESH_DRAIN` names the signals on which it takes its leave; see `InjectOptions`.
 */
import type https from 'node:https'
import { defaultMesh } from './default-mesh.ts'
import { readEnvironment } from './inject/environment.ts'
import { watchRoutes } from './inject/framework-routes.ts'
import { meshGrpc } from './inject/grpc-js.ts'
import { ListeningServers } from './inject/listening-servers.ts'
import { surviveLostCallers } from './inject/lost-callers.ts'
import { watchServers } from './inject/server-events.ts'
import { http, https as nodeHttps } from './intercept/node-http.ts'
import { becomeGlobal } from './intercept/undici/global.ts'
import { drainOnSignal } from './server/drain.ts'

const mesh = defaultMesh()
const { announces, drainOn } = readEnvironment(process.env, mesh.name)

becomeGlobal(mesh.dispatcher)
http.globalAgent = mesh.httpAgent
nodeHttps.globalAgent = mesh.httpsAgent as unknown as https.Agent

const servers = new ListeningServers(mesh, announces)
watchServers(mesh.inbound, servers)
watchRoutes()
surviveLostCallers()
meshGrpc(mesh, (server) => servers.belongsToGrpc(server))
if (drainOn.length > 0) drainOnSignal(() => mesh.drain(), drainOn)
