import type { IdentitySourceFactory } from '../../src/core/identity.ts'
import { identityOf } from '../../src/tls/identity-of.ts'

/** The identity that whoever starts this process gives it in MESH_CERT, MESH_KEY and MESH_CA, looked at each second. */
export function environmentIdentity(trustDomain: string): IdentitySourceFactory {
  return ({ clock }) => ({
    watch(onUpdate) {
      let last: string | undefined
      const look = () => {
        timer = clock.after(1_000, look)
        const { MESH_CERT = '', MESH_KEY = '', MESH_CA = '' } = process.env
        if (MESH_CERT + MESH_KEY + MESH_CA === last) return
        last = MESH_CERT + MESH_KEY + MESH_CA
        const parts = { from: 'environment', certificates: MESH_CERT, key: MESH_KEY, trust: { [trustDomain]: [MESH_CA] } }
        try {
          onUpdate({ identity: identityOf({ ...parts, now: clock.wall() }) })
        } catch (error) {
          onUpdate({ error: error as Error })
        }
      }
      let timer = clock.after(0, look)
      return () => timer.cancel()
    },
  })
}
