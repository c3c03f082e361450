import { CfnOutput, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  type CfnStage,
  DomainName,
  HttpApi,
  type HttpMethod,
  HttpRoute,
  HttpRouteKey,
  HttpStage,
  LogGroupLogDestination,
  SecurityPolicy,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaAuthorizer, HttpLambdaResponseType } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type FunctionName, type FunctionRow, functions } from '../../functions/manifest.ts';
import { logicalName } from './logical-name.ts';
import type { Stage } from './stage.ts';

/** Requests a second of all tenants together, and how many may come at once: ten busy tenants, and a bound on the bill of a flood. */
const THROTTLE = { rateLimit: 200, burstLimit: 400 };

/** Of each route that is reached without a token: nobody's day depends on them, and anybody may call them. */
const THROTTLE_OPEN = { rateLimit: 20, burstLimit: 40 };

/** What the access log says of a request. No path (it holds ids), no query (it may hold an address), no caller's IP. */
const LOGGED = {
  requestId: '$context.requestId',
  time: '$context.requestTime',
  route: '$context.routeKey',
  status: '$context.status',
  bytes: '$context.responseLength',
  milliseconds: '$context.responseLatency',
  authoriser: '$context.authorizer.error',
  integration: '$context.integrationStatus',
  error: '$context.error.responseType',
  cause: '$context.integrationErrorMessage',
};

/** The front door. Made before the functions, which are told its address; `serve` then leads its routes to them. */
export class FrontDoor extends Construct {
  private readonly api: HttpApi;
  /** Where the API is reached, without a slash at its end. */
  readonly url: string;
  readonly id: string;
  private readonly stage: CfnStage;
  private readonly open: Record<string, object> = {};

  constructor(scope: Construct, id: string, { apiDomain, apiCertificate }: Stage) {
    super(scope, id);
    this.api = new HttpApi(this, 'Api', { createDefaultStage: false });
    const domainName = apiDomain ? this.ownName(apiDomain, apiCertificate) : undefined;
    this.url = domainName ? `https://${apiDomain}` : this.api.apiEndpoint;
    this.id = this.api.apiId;
    this.stage = this.openStage(domainName);
  }

  /** Leads each route of the manifest to its function, behind the authoriser unless it is open. */
  serve(byName: Record<FunctionName, LambdaFunction>) {
    const authoriser = this.authoriser(byName);
    for (const [name, { trigger }] of Object.entries(functions) as [FunctionName, FunctionRow][]) {
      if (trigger.kind !== 'http') continue;
      // Permissions route by route: CDK's single one for a whole API, `api/*/*/*`, does not match the two parts of `$default`.
      const integration = new HttpLambdaIntegration(logicalName(name), byName[name]);
      for (const route of trigger.routes) this.addRoute(route, integration, authoriser);
      for (const route of trigger.open ?? []) this.addRoute(route, integration);
    }
  }

  private addRoute(route: string, integration: HttpLambdaIntegration, authorizer?: HttpLambdaAuthorizer) {
    const made = new HttpRoute(this, route.replaceAll('/', '|'), {
      httpApi: this.api,
      routeKey: routeKeyOf(route),
      integration,
      authorizer,
    });
    if (!authorizer)
      Validations.of(made).acknowledge({
        id: 'AwsSolutions-APIG4',
        reason: 'The manifest lists it as open: it is reached without a token.',
      });
    if (!authorizer) this.throttleOpen(route, made);
  }

  private throttleOpen(route: string, made: HttpRoute) {
    const { rateLimit: ThrottlingRateLimit, burstLimit: ThrottlingBurstLimit } = THROTTLE_OPEN;
    this.open[route] = { ThrottlingRateLimit, ThrottlingBurstLimit };
    this.stage.routeSettings = this.open;
    this.stage.node.addDependency(made);
  }

  /**
   * Asked for every request, those without a token too: the API answers them in its own words. Answers are never kept: a
   * revoked token or a deactivated member stops at once.
   */
  private authoriser(byName: Record<FunctionName, LambdaFunction>) {
    return new HttpLambdaAuthorizer('Authoriser', byName.authorise, {
      responseTypes: [HttpLambdaResponseType.SIMPLE],
      identitySource: [],
      resultsCacheTtl: Duration.seconds(0),
    });
  }

  /** The operator points a CNAME at the output: the domain's zone need not be in this account. */
  private ownName(domainName: string, certificateArn: string): DomainName {
    const certificate = Certificate.fromCertificateArn(this, 'Certificate', certificateArn);
    const name = new DomainName(this, 'Name', { domainName, certificate, securityPolicy: SecurityPolicy.TLS_1_2 });
    new CfnOutput(Stack.of(this), 'ApiCname', { value: `${domainName} CNAME ${name.regionalDomainName}` });
    return name;
  }

  private openStage(domainName?: DomainName) {
    const log = new LogGroup(this, 'Log', { retention: RetentionDays.ONE_MONTH, removalPolicy: RemovalPolicy.DESTROY });
    const stage = new HttpStage(this, 'Stage', {
      httpApi: this.api,
      stageName: '$default',
      autoDeploy: true,
      throttle: THROTTLE,
      domainMapping: domainName && { domainName },
      accessLogSettings: { destination: new LogGroupLogDestination(log), format: AccessLogFormat.custom(JSON.stringify(LOGGED)) },
    });
    return stage.node.defaultChild as CfnStage;
  }
}

function routeKeyOf(route: string): HttpRouteKey {
  if (route === '$default') return HttpRouteKey.DEFAULT;
  const [method, path] = route.split(' ') as [HttpMethod, string];
  return HttpRouteKey.with(path, method);
}
