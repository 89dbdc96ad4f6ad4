/** What one can vote for. */
export const catalogue = [
  [':100:', '💯'],
  [':balloon:', '🎈'],
  [':basketball_man:', '⛹️'],
  [':beer:', '🍺'],
  [':burrito:', '🌯'],
  [':camping:', '🏕️'],
  [':cat2:', '🐈'],
  [':checkered_flag:', '🏁'],
  [':crystal_ball:', '🔮'],
  [':doughnut:', '🍩'],
  [':fire:', '🔥'],
  [':ghost:', '👻'],
  [':joy:', '😂'],
  [':man_dancing:', '🕺'],
  [':mask:', '😷'],
  [':nerd_face:', '🤓'],
  [':pizza:', '🍕'],
  [':poop:', '💩'],
  [':rocket:', '🚀'],
  [':skier:', '⛷️'],
  [':stuck_out_tongue_winking_eye:', '😜'],
  [':sunglasses:', '😎'],
  [':taco:', '🌮'],
  [':tada:', '🎉'],
  [':trophy:', '🏆'],
  [':turkey:', '🦃'],
  [':wave:', '👋'],
].map(([shortcode, unicode]) => ({ shortcode: shortcode as string, unicode: unicode as string }))

/** The method of `VotingService` that votes for it: `:man_dancing:` is `VoteManDancing`. */
export function voteMethod(shortcode: string): `Vote${string}` {
  return `Vote${shortcode.replace(/[:_]+(.?)/g, (_, letter: string) => letter.toUpperCase())}`
}
