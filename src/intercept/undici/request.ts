import { type Dispatcher, request } from 'undici'
import { fetchTarget } from './fetch-url.ts'

/** What `mesh.request` takes besides the URL: what `undici.request` takes, without a dispatcher. */
export type RequestOptions = Omit<Dispatcher.RequestOptions, 'origin' | 'path' | 'method'> & { method?: Dispatcher.HttpMethod }

/**
 * `undici.request` through the mesh: the status, the headers and a body to read.
 *
 * @throws MeshError (rejects) when no attempt gave an answer; the caller's abort reason; undici's errors for bad arguments
 */
export type MeshRequest = (url: string | URL, options?: RequestOptions) => Promise<Dispatcher.ResponseData>

/** Makes `mesh.request`. A URL that needs no normalising is not parsed, which pays for the mesh. */
export function createRequest(dispatcher: Dispatcher): MeshRequest {
  return (url, options) => {
    const target = typeof url === 'string' ? fetchTarget(url) : undefined
    if (target === undefined) return request(url, { ...options, dispatcher } as never)
    const method = options?.method ?? (options?.body ? 'PUT' : 'GET')
    return dispatcher.request({ ...options, origin: target.origin, path: target.path, method })
  }
}
