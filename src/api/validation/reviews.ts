// Questions about who one is and what one may do.
import { type FieldError, invalid } from '../field-error.js'
import type { LocalSubjectAccessReview, SelfSubjectAccessReview, SubjectAccessReview } from '../generated/kinds.js'

function attributesErrors(
  spec: { readonly resourceAttributes?: unknown; readonly nonResourceAttributes?: unknown } | undefined,
): FieldError[] {
  if (spec?.resourceAttributes && spec.nonResourceAttributes)
    return [invalid('spec.nonResourceAttributes', spec.nonResourceAttributes, 'cannot be specified in combination with resourceAttributes')]
  if (!spec?.resourceAttributes && !spec?.nonResourceAttributes)
    return [
      invalid(
        'spec.resourceAttributes',
        spec?.nonResourceAttributes ?? null,
        'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      ),
    ]
  return []
}

export function reviewErrors({ spec }: SubjectAccessReview): FieldError[] {
  const errors = attributesErrors(spec)
  if (!spec?.user && !spec?.groups?.length)
    errors.push(invalid('spec.user', spec?.user ?? '', 'at least one of user or group must be specified'))
  return errors
}

export const selfReviewErrors = ({ spec }: SelfSubjectAccessReview): FieldError[] => attributesErrors(spec)

export function localReviewErrors(review: LocalSubjectAccessReview): FieldError[] {
  const errors = reviewErrors(review as unknown as SubjectAccessReview)
  const { resourceAttributes } = review.spec ?? {}
  if (resourceAttributes && resourceAttributes.namespace !== review.metadata.namespace)
    errors.push(invalid('spec.resourceAttributes.namespace', resourceAttributes.namespace ?? '', 'must match metadata.namespace'))
  if (review.spec?.nonResourceAttributes)
    errors.push(invalid('spec.nonResourceAttributes', review.spec.nonResourceAttributes, 'disallowed on this kind of request'))
  return errors
}
