import type { DiscoveryFactory, Update } from '../../src/core/discovery.ts'

/** Addresses from the environment, looked at each second: VOTING_ADDRESSES='10.0.0.7:8080 10.0.0.8:8080'. */
export function environment(): DiscoveryFactory {
  return ({ clock }) => ({
    watch(service, onUpdate) {
      let last: string | undefined
      const look = () => {
        timer = clock.after(1_000, look)
        const text = process.env[`${service.toUpperCase()}_ADDRESSES`] ?? ''
        if (text !== last) onUpdate(parse(text))
        last = text
      }
      let timer = clock.after(0, look)
      return () => timer.cancel()
    },
  })
}

function parse(text: string): Update {
  const found = [...new Set(text.split(' '))].map((name) => /^(?<host>[\w.-]+):(?<port>\d+)$/.exec(name)?.groups)
  if (text !== '' && found.includes(undefined)) return { error: new Error(`environment: expected host:port, got "${text}"`) }
  return { addresses: found.flatMap((groups) => (groups ? { host: groups.host ?? '', port: Number(groups.port) } : [])) }
}
